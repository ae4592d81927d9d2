"""Shuts an `until` gate, as the scripts that judge the ends of runs do."""

from __future__ import annotations

from redis.asyncio import Redis

from internal.rdb.keys import Keys
from internal.rdb.scripts import Script
from internal.task import scripts
from tests.support.virtual_time import CLOCK_SOURCE

_SOURCE = "shut_gate(ARGV[1], tonumber(ARGV[2]) or ARGV[2], ARGV[3]) return {'ok'}"
_SHUT = Script(_SOURCE, library=scripts.library("gates"))
_SHUT_BY_TEST_CLOCK = Script(_SOURCE, library=CLOCK_SOURCE + scripts.library("gates"))


async def shut_gate(
    redis: Redis, keys: Keys, gate: str, until_millis: int | None = None, *, is_lab: bool = False
) -> None:
    """Shut *gate* until a time, or until it is released. *is_lab*: on the clock that tests move."""
    script = _SHUT_BY_TEST_CLOCK if is_lab else _SHUT
    until = "released" if until_millis is None else until_millis
    await script(redis, [keys.prefix], [gate, until, "it broke"])
