"""The checks at start, against a server that is configured well and badly."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis

from internal.errors import Conflict, Invalid
from internal.rdb.client import connect
from internal.rdb.embedded import EmbeddedRedis
from internal.rdb.health import SCHEMA, check_server
from internal.rdb.keys import Keys
from tests.support.redis import RedisServer

KEYS = Keys("codeforge:")


async def test_promise_6b_server_in_memory_is_refused_unless_ephemeral(redis_client: Redis) -> None:
    """
    Without persistence a restart loses every task: that takes the operator's word.
    """
    with pytest.raises(Invalid, match="in memory only") as raised:
        await check_server(redis_client, KEYS, ephemeral=False)
    assert list(raised.value.fields) == ["redis.ephemeral"]
    assert not await redis_client.exists(KEYS.schema())

    facts = await check_server(redis_client, KEYS, ephemeral=True)

    assert facts.is_persistent is False
    assert facts.warnings == ("Redis keeps its data in memory only: a restart loses every task.",)


async def test_server_with_snapshots_only_is_taken_with_a_warning(redis_client: Redis) -> None:
    """
    Snapshots survive a restart but lose minutes; the operator hears it.
    """
    await redis_client.config_set("save", "3600 1")
    try:
        facts = await check_server(redis_client, KEYS, ephemeral=False)
    finally:
        await redis_client.config_set("save", "")

    assert facts.is_persistent is True
    assert [warning for warning in facts.warnings if "snapshots" in warning]


async def test_evicting_server_is_taken_with_a_warning(redis_client: Redis) -> None:
    """
    A policy that drops keys when full drops tasks.
    """
    await redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        facts = await check_server(redis_client, KEYS, ephemeral=True)
    finally:
        await redis_client.config_set("maxmemory-policy", "noeviction")

    assert [warning for warning in facts.warnings if "allkeys-lru" in warning]


async def test_embedded_server_passes_without_a_warning(tmp_path: Path) -> None:
    """
    Our own settings satisfy our own checks, and new data get our schema number.
    """
    async with EmbeddedRedis(tmp_path) as server, connect(server.url, role="command") as client:
        facts = await check_server(client, KEYS, ephemeral=False)
        schema = await client.get(KEYS.schema())

    assert facts.is_persistent is True
    assert facts.warnings == ()
    assert facts.version
    assert schema == str(SCHEMA)


async def test_server_that_hides_its_settings_is_taken_with_a_warning(
    redis_client: Redis, redis_server: RedisServer
) -> None:
    """
    Managed servers forbid CONFIG and INFO; what cannot be seen is said, not refused.
    """
    await redis_client.acl_setuser(
        "managed", enabled=True, passwords=["+p"], keys=["*"], categories=["+@all", "-@dangerous"]
    )
    try:
        url = redis_server.url.replace("unix://", "unix://managed:p@")
        async with connect(url, role="command") as client:
            facts = await check_server(client, KEYS, ephemeral=False)
    finally:
        await redis_client.acl_deluser("managed")

    assert facts.is_persistent is None
    assert facts.warnings == (
        "Redis does not tell whether its data outlive a restart; see that they do.",
    )


async def test_newer_data_are_refused(redis_client: Redis) -> None:
    """
    A process never touches data whose layout it does not know, and leaves their number alone.
    """
    newer = str(SCHEMA + 1)
    await redis_client.set(KEYS.schema(), newer)

    with pytest.raises(Conflict, match=f"schema {newer}"):
        await check_server(redis_client, KEYS, ephemeral=True)

    assert await redis_client.get(KEYS.schema()) == newer
