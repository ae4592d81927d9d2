"""A registry and a resolver over one client, and short ways to use them."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from internal.crypto.box import Box
from internal.keys.model import KeyProvider, NewKey, RegisteredKey
from internal.keys.registry import KeyRegistry
from internal.keys.resolver import KeyResolver
from internal.keys.store import KeyStore
from internal.rdb.keys import Keys

KEYS = Keys("test:")
TENANT = "default"


class StillClock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def advance(self, **by: float) -> None:
        self.moment += timedelta(**by)


@dataclass
class Desk:
    """The parts, and short ways to use them."""

    redis: Redis
    box: Box = field(default_factory=lambda: Box({"k1": bytes(32)}, active="k1"))
    clock: StillClock = field(default_factory=StillClock)

    @property
    def store(self) -> KeyStore:
        return KeyStore(self.redis, KEYS)

    @property
    def registry(self) -> KeyRegistry:
        return KeyRegistry(self.store, self.box, self.clock)

    def resolver(self, environment: Mapping[str, str] | None = None) -> KeyResolver:
        return KeyResolver(self.store, self.box, self.clock, environment or {})

    async def next_millisecond(self) -> None:
        """Return once Redis' clock shows another one: keys are in the order of their creation."""
        first = await self._millisecond()
        while await self._millisecond() == first:
            pass

    async def _millisecond(self) -> tuple[int, int]:
        seconds, micros = await self.redis.time()
        return seconds, micros // 1000

    async def add(
        self,
        name: str,
        provider: str = "github",
        token: str = "",
        *,
        tenant: str = TENANT,
        base_url: str | None = None,
        scope: tuple[str, ...] = (),
        expires_at: datetime | None = None,
    ) -> RegisteredKey:
        new = NewKey(
            name=name,
            provider=KeyProvider(provider),
            base_url=base_url,
            scope=scope,
            expires_at=expires_at,
        )
        return await self.registry.create(tenant, new, token or f"value-of-{name}")
