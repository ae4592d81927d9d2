"""The fixtures that all other tests stand on."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from tests.support.keyleak import leaked_keys


async def test_leaked_keys_are_those_without_ttl_that_are_not_permanent(
    redis_client: Redis,
) -> None:
    """
    A key that expires and a key of the installation are fine; any other one is a leak.
    """
    await redis_client.set("codeforge:schema", "1")
    await redis_client.set("codeforge:task:1", "short", ex=60)
    await redis_client.set("codeforge:task:2", "for ever")

    leaked = await leaked_keys(redis_client)

    assert leaked == ["codeforge:task:2"]
    await redis_client.delete("codeforge:task:2")


@pytest.mark.live_keys
async def test_marker_allows_keys_of_live_tasks(redis_client: Redis) -> None:
    """
    A test marked `live_keys` may end with keys without TTL, and the next test starts empty.
    """
    await redis_client.set("codeforge:task:3", "still queued")

    assert await redis_client.dbsize() == 1


async def test_database_is_empty_at_the_start(redis_client: Redis) -> None:
    """
    No test sees the keys of another one.
    """
    assert await redis_client.dbsize() == 0
