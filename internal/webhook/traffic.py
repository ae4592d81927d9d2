"""
How many attempts each destination gets, so that dead ones cannot hold up the others.

Pure book-keeping of one dispatcher. A destination is a registered endpoint, or a tenant's origin
(scheme, host and port). It gets a few attempts at once, and its tenant a larger share. After some
failures in a row its breaker opens: for a while nothing is sent there, then a single attempt probes
it; the pause doubles until one succeeds. What is put off so costs no attempt of its schedule.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

_FAILURES_TO_OPEN = 5
_OPEN_SECONDS = 30.0
_MAX_OPEN_SECONDS = 300.0
_CROWD_SECONDS = 0.2
_MOST_REMEMBERED = 1_000
"""Destinations that failed lately; the one that failed longest ago is forgotten first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """
    What a destination, or a tenant, may get now.

    `places` is -1 while its breaker is open: then all that is due for it is put off by
    `put_off_seconds`, else only what finds no place and hides others.
    """

    name: str
    places: int
    put_off_seconds: float


@dataclass(slots=True)
class _Busy:
    attempts: int = 0
    seconds: float = 0
    """How long its last attempt took: a place is free again about then."""


@dataclass(slots=True)
class _Trouble:
    failures: int = 0
    open_until: float = 0


class Traffic:
    """Who has attempts on their way, and who only fails. Times are monotonic seconds."""

    def __init__(self, *, places: int, tenant_places: int) -> None:
        self.places = places
        self.tenant_places = tenant_places
        self._busy: dict[str, _Busy] = {}
        self._tenants: dict[str, int] = {}
        self._trouble: OrderedDict[str, _Trouble] = OrderedDict()

    def started(self, destination: str) -> None:
        """An attempt begins."""
        tenant = _tenant(destination)
        self._busy.setdefault(destination, _Busy()).attempts += 1
        self._tenants[tenant] = self._tenants.get(tenant, 0) + 1

    def ended(self, destination: str, now: float, *, delivered: bool, seconds: float = 0) -> None:
        """An attempt is over, after *seconds*; pairs with `started`."""
        self._leave(destination, seconds)
        if delivered:
            self._trouble.pop(destination, None)
            return
        trouble = self._trouble.setdefault(destination, _Trouble())
        if trouble.open_until > now:
            return  # it began before the breaker opened, and tells nothing new
        self._trouble.move_to_end(destination)
        trouble.failures += 1
        trouble.open_until = now + _pause_seconds(trouble.failures)
        if len(self._trouble) > _MOST_REMEMBERED:
            self._trouble.popitem(last=False)

    def rooms(self, now: float) -> list[Room]:
        """What every destination and tenant may get that may not get everything."""
        rooms = [
            Room(name=name, places=self.tenant_places - count, put_off_seconds=_CROWD_SECONDS)
            for name, count in self._tenants.items()
        ]
        known = self._busy.keys() | self._trouble.keys()
        return rooms + [self._room(destination, now) for destination in known]

    def _room(self, destination: str, now: float) -> Room:
        trouble = self._trouble.get(destination, _Trouble())
        if trouble.open_until > now:
            pause = trouble.open_until - now
            return Room(name=destination, places=-1, put_off_seconds=pause)
        is_probed = trouble.failures >= _FAILURES_TO_OPEN
        busy = self._busy.get(destination, _Busy())
        free = (1 if is_probed else self.places) - busy.attempts
        # A long line for a slow receiver is looked at no more often than places come free.
        put_off = max(_CROWD_SECONDS, busy.seconds)
        return Room(name=destination, places=max(free, 0), put_off_seconds=put_off)

    def _leave(self, destination: str, seconds: float) -> None:
        tenant, busy = _tenant(destination), self._busy[destination]
        busy.attempts, busy.seconds = busy.attempts - 1, seconds
        if not busy.attempts:
            del self._busy[destination]
        self._tenants[tenant] -= 1
        if not self._tenants[tenant]:
            del self._tenants[tenant]


def _pause_seconds(failures: int) -> float:
    if failures < _FAILURES_TO_OPEN:
        return 0.0
    # 2^8 is beyond the limit already; the bound keeps the power small.
    doubled = min(failures - _FAILURES_TO_OPEN, 8)
    return min(_OPEN_SECONDS * float(2**doubled), _MAX_OPEN_SECONDS)


def _tenant(destination: str) -> str:
    return destination.partition("/")[0]
