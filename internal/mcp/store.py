"""
Registered MCP servers in Redis: one hash per tenant, and one per project of a tenant.

The names are fields and never part of a key, so no name can get in the way of a key of ours.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from redis.asyncio import Redis

from internal.ids import random_token
from internal.mcp.model import ShownServer
from internal.rdb.keys import Keys
from internal.rdb.scripts import Script, load_lua

_ADD = Script(load_lua("internal.mcp", "lua/add"))
_REMOVE = Script(load_lua("internal.mcp", "lua/remove"))
_MAX_SERVERS = 64
_MAX_OF_TENANT = 1_000
_REPEAT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredServer:
    """What Redis has of one server: `sealed` is the whole of it, encrypted."""

    shown: ShownServer
    created_millis: int
    sealed: str = field(repr=False)


class McpStore:
    """*project* is the key of a repository, or "" for the servers of the whole tenant."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def add(self, tenant: str, project: str, server: StoredServer) -> str:
        """ADD; words: ok, exists, full (64 servers there, or 1,000 of the tenant)."""
        record = json.dumps(asdict(server))
        keys = [self._keys.mcp_servers(tenant, project), self._keys.mcp_count(tenant)]
        args: list[str | int] = [server.shown.name, record, _MAX_SERVERS, _MAX_OF_TENANT]
        return str(await _ADD(self._redis, keys, args))

    async def remove(self, tenant: str, project: str, name: str) -> str:
        """REMOVE; words: ok, missing."""
        keys = [
            self._keys.mcp_servers(tenant, project),
            self._keys.mcp_count(tenant),
            self._keys.mcp_removed(tenant, random_token()),
        ]
        return str(await _REMOVE(self._redis, keys, [name, _REPEAT_SECONDS]))

    async def list(self, tenant: str, project: str) -> list[StoredServer]:
        """All of one hash, oldest first."""
        key = self._keys.mcp_servers(tenant, project)
        records = cast("list[str]", await cast("Awaitable[Any]", self._redis.hvals(key)))
        found = map(_decode, records)
        return sorted(found, key=lambda server: (server.created_millis, server.shown.name))


def _decode(record: str) -> StoredServer:
    members: dict[str, Any] = json.loads(record)
    return StoredServer(
        shown=ShownServer.of_members(members["shown"]),
        created_millis=members["created_millis"],
        sealed=members["sealed"],
    )
