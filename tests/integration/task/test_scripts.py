"""The room that is left in the scripts' texts: Lua has room for 200 local names in each."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from internal.rdb.scripts import Script
from internal.task import scripts

SPARE = 20
"""Names that must still find room in each script, so that nobody's next change is one too many."""
SCRIPTS = {name: script for name, script in vars(scripts).items() if isinstance(script, Script)}


def _with_more_names(script: Script, number: int) -> str:
    names = "".join(f"local spare_{i}\n" for i in range(number))
    return Script(script.source, library=names).source


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_script_has_room_for_more_names(redis_client: Redis, name: str) -> None:
    """
    Where most of its names are in force at once; Redis' own compiler counts.

    One that fails keeps too much in the open: a part of the library declares what others use, and
    keeps what is its own in a `do` block, as gates.lua does.
    """
    await redis_client.script_load(_with_more_names(SCRIPTS[name], SPARE))


async def test_a_script_without_room_is_refused(redis_client: Redis) -> None:
    """The limit is the compiler's: with it lifted, the test above would show nothing."""
    with pytest.raises(ResponseError, match="200 local variables"):
        await redis_client.script_load(_with_more_names(scripts.LIMITS, 200))
