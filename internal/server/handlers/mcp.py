"""MCP servers that agents are given: of the tenant, or of one repository with `?project=`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from internal.clock import rfc3339
from internal.errors import Invalid
from internal.git.remote import parse_remote
from internal.server.body import read_json
from internal.server.deps import ServerDeps
from internal.server.document import json_response, mcp_server
from internal.server.query import Query
from internal.server.request import caller_of, tenant_of
from internal.server.schema import Empty
from internal.server.schema_mcp import McpServerBody


class McpHandlers:
    """The handlers, over the registry."""

    def __init__(self, deps: ServerDeps) -> None:
        self._mcp = deps.mcp
        self._rules = deps.rules
        self._audit = deps.audit

    async def add(self, request: Request) -> Response:
        """201; 409 when the name is taken."""
        project = _project(request)
        body = await read_json(request, McpServerBody, self._rules)
        server = body.server()
        await self._mcp.add(tenant_of(request), server, project=project)
        await self._audit.record(caller_of(request), "mcp.create", server.name, project=project)
        message = f"The MCP server {server.name} is registered."
        return json_response({"name": server.name, "message": message}, 201)

    async def list(self, request: Request) -> Response:
        """What is registered in this place, oldest first, without values of variables."""
        rows = await self._mcp.list(tenant_of(request), project=_project(request))
        servers = [
            {**mcp_server(row.server), "created_at": rfc3339(row.created_at)} for row in rows
        ]
        return json_response({"servers": servers})

    async def remove(self, request: Request) -> Response:
        """200; 404 when there is none of this name."""
        project = _project(request)
        await read_json(request, Empty)
        name: str = request.path_params["name"]
        await self._mcp.remove(tenant_of(request), name, project=project)
        await self._audit.record(caller_of(request), "mcp.delete", name, project=project)
        return json_response({"message": f"The MCP server {name} is removed."})


def _project(request: Request) -> str | None:
    query = Query(request)
    project = query.one("project", _read_project)
    query.finish()
    return project


def _read_project(url: str) -> str:
    try:
        return parse_remote(url).key
    except Invalid as error:
        raise ValueError(error.fields.get("repo_url", error.message)) from error
