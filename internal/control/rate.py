"""
The rate limit: so many calls of one kind by one caller in any 60 seconds.

A window slides: what counts is the last minute before each call, not the clock's. So after ten
calls at once the eleventh waits exactly until the first of them is a minute old, and no burst of
twice the limit fits around a full minute (a fixed window's fault). The price is one set member per
call of the last minute, which the limit itself bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from internal.ids import random_token
from internal.rdb.keys import Keys
from internal.rdb.scripts import Reply, Script, load_lua

_RATE = Script(load_lua("internal.control", "lua/rate"))

WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one call was told."""

    granted: bool
    limit: int
    """Calls in any window."""
    remaining: int
    """Calls that would still be granted now."""
    reset_ms: int
    """Until the oldest counted call leaves the window and makes room for one."""
    wait_ms: int
    """Until a call is possible; 0 when one is."""


class RateLimiter:
    """*limit* calls in any minute, for each caller and each window of its own."""

    def __init__(self, redis: Redis, keys: Keys, *, limit: int) -> None:
        self._redis = redis
        self._keys = keys
        self.limit = limit

    async def take(self, tenant: str, caller: str, window: str) -> Allowance:
        """Count a call, when there is room for it. Redis' errors pass: nothing is let through."""
        reply: Reply = await _RATE(
            self._redis,
            [self._keys.rate(tenant, caller, window)],
            [random_token(), self.limit, WINDOW_SECONDS * 1000],
        )
        granted, remaining, reset_ms, wait_ms = map(int, reply)
        return Allowance(
            granted=bool(granted),
            limit=self.limit,
            remaining=remaining,
            reset_ms=reset_ms,
            wait_ms=wait_ms,
        )
