"""
Time that a test moves: for scripts, which ask Redis for it, and for code that is given a `Clock`.

The scripts are those of production, with a prefix in their source that answers TIME from a key.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType

from redis.asyncio import Redis

from internal.rdb.keys import Keys
from internal.rdb.scripts import Script

CLOCK_KEY = "test:clock"
"""Behind the prefix: what the scripts under test take for the time, in ms."""

CLOCK_SOURCE = f"""
local server = redis
local redis = {{call = function(command, ...)
  if command ~= 'TIME' then return server.call(command, ...) end
  local ms = tonumber(server.call('GET', KEYS[1] .. '{CLOCK_KEY}'))
  return {{string.format('%d', math.floor(ms / 1000)), string.format('%d', (ms % 1000) * 1000)}}
end}}
"""


@dataclass
class VirtualTime:
    """One moment for the scripts of a deployment and for whoever holds this clock."""

    redis: Redis
    keys: Keys
    millis: int = 1_795_100_000_000

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.millis / 1000, UTC)

    def monotonic(self) -> float:
        return self.millis / 1000

    async def advance(self, seconds: float) -> None:
        """Let time pass for everybody."""
        self.millis += round(seconds * 1000)
        await self.redis.set(f"{self.keys.prefix}{CLOCK_KEY}", self.millis)

    @contextmanager
    def rules(self, scripts: ModuleType) -> Generator[None]:
        """All scripts of this module follow it meanwhile."""
        real = {name: value for name, value in vars(scripts).items() if isinstance(value, Script)}
        for name, script in real.items():
            setattr(scripts, name, Script(script.source, library=CLOCK_SOURCE))
        try:
            yield
        finally:
            for name, script in real.items():
                setattr(scripts, name, script)
