"""API tokens: make, list, revoke. The text of a token is in one answer and never again."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from internal.access.model import ApiToken, Scope
from internal.clock import rfc3339
from internal.server.body import read_json
from internal.server.deps import ServerDeps
from internal.server.document import json_response
from internal.server.query import Query, read_tenant
from internal.server.request import caller_of
from internal.server.schema import Empty
from internal.server.schema_tokens import CreateToken


class TokenHandlers:
    """The handlers, over the registry."""

    def __init__(self, deps: ServerDeps) -> None:
        self._tokens = deps.tokens
        self._audit = deps.audit

    async def create(self, request: Request) -> Response:
        """201 with the token; no cache keeps it."""
        Query(request).finish()
        body = await read_json(request, CreateToken)
        caller = caller_of(request)
        made = await self._tokens.make(
            caller,
            body.name,
            frozenset(body.scopes),
            tenant=body.tenant,
            expires_at=body.expires_at,
        )
        document = _document(made.token)
        await self._audit.record(
            caller,
            "token.create",
            made.token.name,
            tenant=made.token.tenant,
            scopes=" ".join(document["scopes"]),
        )
        headers = {"Cache-Control": "no-store"}
        return json_response({**document, "token": made.text}, 201, headers)

    async def list(self, request: Request) -> Response:
        """The tokens of one tenant, without their text."""
        tenant = _tenant(request)
        tokens = await self._tokens.list(caller_of(request), tenant=tenant)
        return json_response({"tokens": [_document(token) for token in tokens]})

    async def revoke(self, request: Request) -> Response:
        """End a token, the caller's own included."""
        tenant = _tenant(request)
        await read_json(request, Empty)
        caller, name = caller_of(request), str(request.path_params["name"])
        await self._tokens.revoke(caller, name, tenant=tenant)
        await self._audit.record(caller, "token.revoke", name, tenant=tenant or caller.tenant)
        return Response(status_code=204)


def _tenant(request: Request) -> str | None:
    query = Query(request)
    tenant = query.one("tenant", read_tenant)
    query.finish()
    return tenant


def _document(token: ApiToken) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": token.name,
        "tenant": token.tenant,
        "scopes": [scope.value for scope in Scope if scope in token.scopes],
        "created_at": rfc3339(token.created_at),
        "created_by": token.created_by,
    }
    if token.expires_at is not None:
        document["expires_at"] = rfc3339(token.expires_at)
    if token.last_used_at is not None:
        document["last_used_at"] = rfc3339(token.last_used_at)
    return document
