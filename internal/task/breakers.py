"""
The breakers as an operator sees them: how each stands, and what its window holds.

JUDGE keeps them; one that had no outcome for a day is not listed, nor more than the newest 200.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import cast

from redis.asyncio import Redis

from internal.clock import from_millis
from internal.rdb.keys import Keys

_MOST = 200


class BreakerState(StrEnum):
    """As circuit breakers are spoken of: a closed one lets everything through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """Its pause is over; one run goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One breaker; the counts are those of its window, all 0 while it is not closed."""

    key: str
    state: BreakerState
    judged_at: datetime
    """When an outcome was counted last."""
    calls: int = 0
    failed: int = 0
    slow: int = 0
    consecutive: int = 0
    until: datetime | None = None
    since: datetime | None = None
    why: str | None = None

    @property
    def kind(self) -> str:
        """What it guards: `agent` or `endpoint`."""
        return self.key.split(":", 2)[1]


class Breakers:
    """Reads them. Redis' errors pass through."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def list(self) -> Sequence[Breaker]:
        """All of the deployment, by key."""
        known = cast(
            "list[tuple[str, float]]",
            await self._redis.zrange(
                self._keys.breakers(), 0, _MOST - 1, desc=True, withscores=True
            ),
        )
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for key, _ in known:
                pipe.hgetall(self._keys.gate_until(key))
                pipe.hgetall(self._keys.gate_window(key))
            (seconds, _), *hashes = cast("list[tuple[int, int]]", await pipe.execute())
        found = cast("list[dict[str, str]]", hashes)
        rows = zip(known, found[::2], found[1::2], strict=True)
        return sorted(
            (_breaker(key, at, gate, window, seconds * 1000) for (key, at), gate, window in rows),
            key=lambda breaker: breaker.key,
        )


def count_open(breakers: Iterable[Breaker]) -> Mapping[str, int]:
    """How many of each class are not closed."""
    found = {"agent": 0, "endpoint": 0}
    for breaker in breakers:
        if breaker.state is not BreakerState.CLOSED and breaker.kind in found:
            found[breaker.kind] += 1
    return found


def _breaker(
    key: str, at: float, gate: Mapping[str, str], window: Mapping[str, str], now: int
) -> Breaker:
    sums = {"calls": 0, "failed": 0, "slow": 0, "row": 0}
    for field, value in window.items():
        sums[field.partition(":")[0].rpartition(".")[2]] += int(value)
    consecutive = sums.pop("row")
    until = gate.get("until", "")
    state = BreakerState.CLOSED
    if gate:
        is_over = until.isdigit() and int(until) <= now
        state = BreakerState.HALF_OPEN if is_over else BreakerState.OPEN
    return Breaker(
        key=key,
        state=state,
        judged_at=from_millis(int(at)),
        **sums,
        consecutive=consecutive,
        until=from_millis(int(until)) if until.isdigit() else None,
        since=from_millis(int(gate["since"])) if "since" in gate else None,
        why=gate.get("why"),
    )
