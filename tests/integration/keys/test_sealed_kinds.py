"""Everything that lies sealed in Redis is in the table by which a rotation finds it."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest
from redis.asyncio import Redis

from codeforge.wiring.core import open_core
from codeforge.wiring.sealed import SEALED_KINDS
from internal.crypto.keyring import Keyring
from internal.crypto.masterkey import make_key, parse_key
from internal.keys.model import KeyProvider, NewKey
from internal.mcp.model import McpServer
from internal.rdb.rewrap import SealedValues
from internal.webhook.model import EventType
from tests.support.chaos_site import SECRETS, TENANT, Site, open_site
from tests.support.redis import RedisServer

pytestmark = pytest.mark.live_keys

NEXT = parse_key(make_key())


@pytest.fixture
async def site(redis_client: Redis, redis_server: RedisServer) -> AsyncIterator[Site]:
    async with open_site(redis_server.url) as site:
        yield site


async def test_every_sealed_value_is_found_and_moved(site: Site, redis_client: Redis) -> None:
    """
    One of each kind is made as its owner makes it. No `kid` of the old key is left anywhere in
    Redis afterwards, and a process with the new key alone opens them all.
    """
    core = site.core
    server = McpServer(name="tools", command="tool", env={"SECRET": "mcp-secret-of-a-test"})
    task = await site.submit(
        "say done",
        access_token="a-token",  # noqa: S106 - nothing is behind it
        ai_api_key="a-key",
        mcp_servers=(server,),
    )
    await core.registered.create(TENANT, NewKey(name="k", provider=KeyProvider.GITHUB), "value")
    await core.mcp.add(TENANT, server)
    await core.mcp.add(TENANT, server, project="a-project-0123")
    hook = await core.webhooks.create(
        TENANT, url="https://example.com/hook", events=frozenset(EventType)
    )
    await core.webhooks.rotate(TENANT, hook.endpoint.id)
    old = Keyring.of(SECRETS.master_key)
    values = SealedValues(core.redis, core.keys, SEALED_KINDS)

    counted = await values.count()
    ring = Keyring.of(NEXT, [SECRETS.master_key])
    done = await values.rewrap(ring.box(), per_second=100_000)

    assert {label: number for (_, label), number in counted.items()} == {
        "tasks": 3,
        "keys": 1,
        "mcp": 2,
        "webhooks": 2,
    }
    assert (done.moved, done.broken) == (8, 0)
    assert {key.rpartition(":")[2] for key in await _holding(redis_client, old.active)} == {
        "kids",
        "processes",
    }
    await redis_client.delete(core.keys.encryption_kids(), core.keys.encryption_processes())
    only_new = replace(SECRETS, master_key=NEXT)
    async with open_core(site.settings(), only_new) as other:
        assert (await other.mcp.open(TENANT, "a-project-0123"))[0].env == server.env
        assert (await other.registered.open(TENANT, "k"))[1] == "value"
    assert (await site.task(task)).id == task


async def _holding(redis: Redis, text: str) -> list[str]:
    """Every hash that has *text* in it."""
    found = cast("AsyncIterator[str]", redis.scan_iter(_type="HASH"))
    return [key async for key in found if text in str(await redis.hgetall(key))]
