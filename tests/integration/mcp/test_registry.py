"""The registry of MCP servers on a real Redis."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from internal.clock import SystemClock
from internal.crypto.box import Box, SealBroken
from internal.errors import Conflict, Invalid, NotFound
from internal.mcp.model import McpServer
from internal.mcp.registry import McpRegistry
from internal.mcp.store import McpStore
from internal.rdb.keys import Keys

KEYS = Keys("lab:")
SECRET = "s3cr3t-value-0123456789"  # noqa: S105 -- nothing is behind it


def registry(redis: Redis, *, key: bytes = bytes(32)) -> McpRegistry:
    return McpRegistry(McpStore(redis, KEYS), box=Box({"k": key}, active="k"), clock=SystemClock())


def a_server(name: str = "s", command: str = "x") -> McpServer:
    return McpServer(name=name, command=command, args=("a",), env={"TOKEN": SECRET})


async def names(registry: McpRegistry, tenant: str = "t", project: str | None = None) -> list[str]:
    return [row.server.name for row in await registry.list(tenant, project=project)]


async def test_a_server_is_kept_listed_and_removed(redis_client: Redis) -> None:
    """In the order in which they came."""
    mcp = registry(redis_client)
    for name in ("zz", "aa"):
        await mcp.add("t", a_server(name))
        await asyncio.sleep(0.002)  # the order is by the millisecond

    assert await names(mcp) == ["zz", "aa"]

    await mcp.remove("t", "zz")

    assert await names(mcp) == ["aa"]
    with pytest.raises(NotFound):
        await mcp.remove("t", "zz")


async def test_a_name_is_taken_once(redis_client: Redis) -> None:
    """Of many who register it at once, one does; nobody's server is replaced."""
    mcp = registry(redis_client)

    results = await asyncio.gather(
        *(mcp.add("t", a_server(command=f"c{n}")) for n in range(8)), return_exceptions=True
    )

    assert sum(isinstance(result, Conflict) for result in results) == 7
    assert len(await names(mcp)) == 1


async def test_a_registry_has_an_end(redis_client: Redis) -> None:
    """64 servers, each of which is started with every run."""
    mcp = registry(redis_client)
    for number in range(64):
        await mcp.add("t", a_server(f"s{number}"))

    with pytest.raises(Conflict, match="too many"):
        await mcp.add("t", a_server("one-more"))


async def test_all_registries_of_a_tenant_have_an_end(redis_client: Redis) -> None:
    """A repository needs only a URL to have one, so nobody could fill Redis for all tenants."""
    mcp = registry(redis_client)
    await redis_client.set(KEYS.mcp_count("t"), 998)
    await mcp.add("t", a_server(), project="p-1")
    await mcp.add("t", a_server(), project="p-2")

    with pytest.raises(Conflict, match="too many"):
        await mcp.add("t", a_server(), project="p-3")
    await mcp.remove("t", "s", project="p-1")
    await mcp.add("t", a_server(), project="p-3")
    await mcp.add("other", a_server())

    assert await redis_client.get(KEYS.mcp_count("t")) == "1000"


async def test_a_server_has_a_size(redis_client: Redis) -> None:
    """All of a tenant's are read for each run."""
    env = {f"V{number}": "x" * 8_192 for number in range(9)}

    with pytest.raises(Invalid, match="65536"):
        await registry(redis_client).add("t", McpServer(name="s", command="x", env=env))


async def test_tenants_and_projects_do_not_meet(redis_client: Redis) -> None:
    """One name in three places is three servers."""
    mcp = registry(redis_client)
    await mcp.add("t", a_server(command="of all"))
    await mcp.add("t", a_server(command="of the project"), project="p-1")
    await mcp.add("other", a_server(command="of another"))

    assert [s.command for s in await mcp.open("t", "p-2")] == ["of all"]
    assert [s.command for s in await mcp.open("t", "p-1")] == ["of the project"]
    with pytest.raises(NotFound):
        await mcp.remove("t", "s", project="p-2")
    await mcp.remove("t", "s", project="p-1")
    assert [s.command for s in await mcp.open("t", "p-1")] == ["of all"]


async def test_fault_b7_no_value_lies_in_redis_in_clear(redis_client: Redis) -> None:
    """Variables, headers and a key in a URL's query are sealed; what is listed has none of them."""
    mcp = registry(redis_client)
    await mcp.add("t", a_server())
    remote = McpServer(
        name="r", url=f"https://e.com/?token={SECRET}", headers={"Authorization": SECRET}
    )
    await mcp.add("t", remote, project="p-1")

    for place in ("", "p-1"):
        stored = await redis_client.hgetall(KEYS.mcp_servers("t", place))
        assert stored
        assert SECRET not in str(stored)
        assert SECRET not in str(await mcp.list("t", project=place or None))
    assert await mcp.open("t", "p-1") == (a_server(), remote)


async def test_fault_a31_no_name_harms_the_registry(redis_client: Redis) -> None:
    """A server may be called like an index, a key or a place of ours."""
    mcp = registry(redis_client)
    for name in ("_index", "index", "servers", "removed", "__proto__"):
        await mcp.add("t", a_server(name))
        await mcp.add("t", a_server(name), project="_index")

    assert len(await names(mcp)) == len(await names(mcp, project="_index")) == 5
    for name in ("_index", "index", "servers", "removed", "__proto__"):
        await mcp.remove("t", name)
    assert await names(mcp) == []


async def test_a_record_in_another_place_does_not_open(redis_client: Redis) -> None:
    """Whoever can write to Redis cannot give one tenant the server of another."""
    mcp = registry(redis_client)
    await mcp.add("t", a_server())
    record = await redis_client.hget(KEYS.mcp_servers("t", ""), "s")
    await redis_client.hset(KEYS.mcp_servers("thief", ""), "s", str(record))

    with pytest.raises(SealBroken):
        await mcp.open("thief", "p-1")


async def test_a_lost_master_key_hides_no_server(redis_client: Redis) -> None:
    """They can be listed and removed without it."""
    await registry(redis_client).add("t", a_server())
    other = registry(redis_client, key=b"x" * 32)

    assert await names(other) == ["s"]
    with pytest.raises(SealBroken):
        await other.open("t", "p-1")
    await other.remove("t", "s")
    assert await names(other) == []
