"""
What was spent today, of each tenant, repository and agent, beside its limit: for operators.

The script SPEND counts it; the day is that of UTC. Those under which something was spent last are
listed, 200 of them at most.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import cast

from redis.asyncio import Redis

from internal.clock import Clock
from internal.rdb.keys import Keys

_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DayBudget:
    """What was spent under one `budget` gate today; a limit is None where there is none."""

    key: str
    usd: float
    tokens: int
    unpriced_tokens: int
    usd_limit: float | None
    tokens_limit: float | None
    repo_url: str | None = None
    """Of a repository, as the first task had it that spent something on it today."""

    def is_of(self, tenant: str | None) -> bool:
        """Whether *tenant* may see it; None: an operator. What all spend is an operator's."""
        _, kind, owner, *_ = self.key.split(":", 3)
        return tenant is None or (kind != "agent" and owner == tenant)


class DayBudgets:
    """Reads them. Redis' errors pass through."""

    def __init__(self, redis: Redis, keys: Keys, clock: Clock) -> None:
        self._redis = redis
        self._keys = keys
        self._clock = clock

    async def list(self) -> Sequence[DayBudget]:
        """Today's, by key."""
        day = self._clock.now().astimezone(UTC).date().isoformat()
        newest = self._redis.zrange(self._keys.spent_gates(day), 0, _MOST - 1, desc=True)
        gates = sorted(cast("list[str]", await newest))
        if not gates:
            return []
        async with self._redis.pipeline(transaction=False) as pipe:
            for gate in gates:
                pipe.hgetall(self._keys.spent(gate, day))
                pipe.hmget(self._keys.limits(), _names(gate, "usd") + _names(gate, "tokens"))
            found = cast("list[object]", await pipe.execute())
        return [
            _budget(gate, cast("dict[str, str]", spent), cast("list[str | None]", limits))
            for gate, spent, limits in zip(gates, found[::2], found[1::2], strict=True)
        ]


def _names(gate: str, unit: str) -> list[str]:
    """Where a limit may stand, the narrowest first; as lib/gates.lua looks for it."""
    _, kind, _, *rest = gate.split(":", 3)
    repo = f"budget:repo:*:{rest[0]}:{unit}" if kind == "repo" and rest else ""
    return [f"{gate}:{unit}", repo, f"budget:{kind}:*:{unit}"]


def _budget(gate: str, spent: Mapping[str, str], limits: Sequence[str | None]) -> DayBudget:
    return DayBudget(
        key=gate,
        usd=max(0.0, round(float(spent.get("usd", 0)), 6)),
        tokens=max(0, int(spent.get("tokens", 0))),
        unpriced_tokens=max(0, int(spent.get("unpriced_tokens", 0))),
        usd_limit=_limit(limits[:3]),
        tokens_limit=_limit(limits[3:]),
        repo_url=spent.get("repo_url"),
    )


def _limit(found: Sequence[str | None]) -> float | None:
    said = next((text for text in found if text is not None), None)
    return (float(said) or None) if said is not None else None
