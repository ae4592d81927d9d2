"""Pages of an index, newest first: a sorted set of ids by the milliseconds of their creation."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import cast

from redis.asyncio import Redis

_OF_ONE_MILLISECOND = 64
"""Room for those created in the cursor's own millisecond, which are read again and left out."""


async def newest(
    redis: Redis,
    index: str,
    *,
    before: tuple[int, str] | None,
    count: int,
    since_millis: int | None = None,
) -> list[tuple[str, int]]:
    """
    Up to *count* (id, creation in ms) of *index*, those older than *before*, and none
    older than *since_millis*.

    *before* is (creation in ms, id) of the last one known, so it holds when that one is erased
    meanwhile.
    """
    rows = cast(
        "list[tuple[str, float]]",
        await redis.zrange(
            index,
            "+inf" if before is None else before[0],
            "-inf" if since_millis is None else since_millis,
            desc=True,
            byscore=True,
            offset=0,
            num=count + _OF_ONE_MILLISECOND,
            withscores=True,
        ),
    )
    found = [(name, int(score)) for name, score in rows]
    if before is not None:
        found = [row for row in found if (row[1], row[0]) < before]
    return found[:count]
