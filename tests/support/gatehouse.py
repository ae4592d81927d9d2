"""The door of one server process (who calls, tokens, the audit log) with a clock that stands."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from datetime import datetime
from typing import cast

from redis.asyncio import Redis

from internal.access.audit import AuditLog
from internal.access.model import Caller
from internal.access.registry import TokenRegistry
from internal.access.resolver import CONFIGURED, TokenResolver
from internal.access.store import TokenStore
from internal.rdb.keys import Keys
from tests.support.key_desk import StillClock

CONFIGURED_TOKEN = "the-token-of-the-settings"  # noqa: S105
KEYS = Keys("test:")


async def make_older(redis: Redis, key: str, seconds: float) -> None:
    """
    Let *seconds* pass for a rate limit's window.

    Its clock is Redis' own, so its calls go back in time instead of the clock going on.
    """
    calls = await redis.zrange(key, 0, -1, withscores=True)
    for call, at in cast("list[tuple[str, float]]", calls):
        await redis.zadd(key, {call: at - seconds * 1000})


class Gatehouse:
    """One process; several on one Redis are several servers."""

    def __init__(self, redis: Redis) -> None:
        self.clock = StillClock()
        self.lost = 0
        store = TokenStore(redis, KEYS)
        self.callers = TokenResolver(CONFIGURED_TOKEN, store, self.clock)
        self.tokens = TokenRegistry(store, self.callers, self.clock)
        self.audit = AuditLog(redis, KEYS, self.clock, count_lost=self._count)

    async def make(
        self,
        name: str,
        *scopes: str,
        tenant: str | None = None,
        expires_at: datetime | None = None,
        by: Caller = CONFIGURED,
    ) -> str:
        """A new token's text."""
        wanted = frozenset(scopes or ("tasks",))
        made = await self.tokens.make(by, name, wanted, tenant=tenant, expires_at=expires_at)
        return made.text

    def _count(self) -> None:
        self.lost += 1
