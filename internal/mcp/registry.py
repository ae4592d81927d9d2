"""
The MCP servers that a tenant has registered, for all its tasks or for those of one repository.

A server is sealed whole before it is stored and opened only in the worker that runs a task with it;
listing needs no key, so a record under a lost key hides no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from internal.clock import Clock, from_millis
from internal.crypto.box import Box
from internal.errors import Conflict, Invalid, NotFound
from internal.mcp.model import McpServer, ShownServer, decode_servers, encode_servers, merge
from internal.mcp.store import McpStore, StoredServer

_MAX_CHARACTERS = 64 * 1024  # 64 of them are read for each run
_REVISION = 1  # a server is never changed: it is removed and registered anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """One row of a listing."""

    server: ShownServer
    created_at: datetime


class McpRegistry:
    """*project* is a repository's `Remote.key`; None means all repositories of the tenant."""

    def __init__(self, store: McpStore, *, box: Box, clock: Clock) -> None:
        self._store = store
        self._box = box
        self._clock = clock

    async def add(self, tenant: str, server: McpServer, *, project: str | None = None) -> None:
        """
        Register *server*.

        Raises:
            Invalid: it is larger than 64 KiB.
            Conflict: the name is taken, or there are 64 servers in this place, or 1,000 of the
                tenant in all places.
        """
        place, whole = project or "", encode_servers([server])
        if len(whole) > _MAX_CHARACTERS:
            raise Invalid(f"The MCP server must be described in {_MAX_CHARACTERS} characters.")
        stored = StoredServer(
            shown=server.shown(),
            created_millis=int(self._clock.now().timestamp() * 1000),
            sealed=self._box.seal(tenant, _bound(place, server.name), _REVISION, whole),
        )
        match await self._store.add(tenant, place, stored):
            case "exists":
                raise Conflict(f"There is an MCP server {server.name} already; remove it first.")
            case "full":
                raise Conflict("There are too many MCP servers; remove one first.")
            case _:
                return

    async def list(self, tenant: str, *, project: str | None = None) -> Sequence[Registered]:
        """What is registered in exactly this place, oldest first."""
        return [
            Registered(server=row.shown, created_at=from_millis(row.created_millis))
            for row in await self._store.list(tenant, project or "")
        ]

    async def remove(self, tenant: str, name: str, *, project: str | None = None) -> None:
        """Forget a server; runs that have it keep it. Raises NotFound."""
        if await self._store.remove(tenant, project or "", name) == "missing":
            raise NotFound("There is no such MCP server.")

    async def open(self, tenant: str, project: str) -> tuple[McpServer, ...]:
        """
        The servers for a task in *project*: the tenant's, then the project's, which win by name.

        Raises:
            SealBroken: one was sealed with a master key that is not here.
        """
        places = ("", project)
        groups = [await self._store.list(tenant, place) for place in places]
        return merge(
            *(
                [
                    server
                    for row in rows
                    for server in decode_servers(
                        self._box.open(tenant, _bound(place, row.shown.name), row.sealed)
                    )
                ]
                for place, rows in zip(places, groups, strict=True)
            )
        )


def _bound(place: str, name: str) -> str:
    """What the sealed record is bound to; a project's key has no colon."""
    return f"mcp:{place}:{name}"
