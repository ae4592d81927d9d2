"""
How many attempts run at each endpoint, so that one dead endpoint cannot hold all of them up.

Pure book-keeping of one dispatcher. An endpoint is scheme, host and port. It gets at most a few
attempts at once. When what else is due for it is so much that it hides other endpoints, that is put
off, for longer while the endpoint only fails.
"""

from __future__ import annotations

from dataclasses import dataclass

_PUT_OFF_SECONDS = 0.2
_MAX_PUT_OFF_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many more attempts an endpoint may get now, and how long a crowd for it is put off."""

    endpoint: str
    places: int
    put_off_seconds: float


@dataclass(slots=True)
class _Busy:
    attempts: int = 0
    failures: int = 0


class Endpoints:
    """The endpoints with attempts on their way; the others have all their places."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._busy: dict[str, _Busy] = {}

    def started(self, endpoint: str) -> None:
        """An attempt begins."""
        self._busy.setdefault(endpoint, _Busy()).attempts += 1

    def ended(self, endpoint: str, *, delivered: bool) -> None:
        """An attempt is over; pairs with `started`."""
        busy = self._busy[endpoint]
        busy.attempts -= 1
        busy.failures = 0 if delivered else busy.failures + 1
        if not busy.attempts:
            del self._busy[endpoint]

    def rooms(self) -> list[Room]:
        """What the busy endpoints may get; at most as many as attempts run."""
        return [
            Room(
                endpoint=endpoint,
                places=self.places - busy.attempts,
                # 2^8 is beyond the limit already; the bound keeps the power small.
                put_off_seconds=min(
                    _PUT_OFF_SECONDS * 2 ** min(busy.failures, 8), _MAX_PUT_OFF_SECONDS
                ),
            )
            for endpoint, busy in self._busy.items()
        ]
