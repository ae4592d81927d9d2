"""Registered keys: create, list, read, verify, delete. No answer ever holds a value."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from internal.clock import rfc3339
from internal.errors import NotFound, Unavailable
from internal.keys.model import RegisteredKey, is_name
from internal.server.body import read_json
from internal.server.deps import ServerDeps
from internal.server.document import json_response
from internal.server.query import Query
from internal.server.request import caller_of, expect_nothing, tenant_of
from internal.server.schema_keys import CreateKey
from internal.task.ops import ANY_HOME, OpKind


class KeyHandlers:
    """The handlers, over the registry; a provider is asked by a worker."""

    def __init__(self, deps: ServerDeps) -> None:
        self._keys = deps.keys
        self._ops = deps.ops
        self._workers = deps.workers
        self._rules = deps.rules
        self._audit = deps.audit

    async def create(self, request: Request) -> Response:
        """201 with all that is told of the key."""
        Query(request).finish()
        body = await read_json(request, CreateKey, self._rules)
        key = await self._keys.create(tenant_of(request), body.new_key(), body.token)
        caller = caller_of(request)
        await self._audit.record(caller, "key.create", key.name, provider=key.provider.value)
        message = "The key is registered; its value is never shown."
        return json_response({**_document(key), "message": message}, 201)

    async def list(self, request: Request) -> Response:
        """All keys of the tenant, oldest first."""
        Query(request).finish()
        keys = await self._keys.list(tenant_of(request))
        return json_response({"keys": [_document(key) for key in keys]})

    async def read(self, request: Request) -> Response:
        """One key."""
        Query(request).finish()
        return json_response(_document(await self._keys.get(tenant_of(request), _name(request))))

    async def delete(self, request: Request) -> Response:
        """Erase a key."""
        await expect_nothing(request)
        name = _name(request)
        await self._keys.delete(tenant_of(request), name)
        await self._audit.record(caller_of(request), "key.delete", name)
        return json_response({"message": f"The key {name} is erased."})

    async def verify(self, request: Request) -> Response:
        """Whether the provider takes the key, as a worker was told."""
        Query(request).finish()
        tenant, name = tenant_of(request), _name(request)
        await self._keys.get(tenant, name)
        if not await self._workers.list():
            raise Unavailable("No worker lives that could ask the provider.")
        asked = {"tenant": tenant, "name": name}
        answer = await self._ops.ask(ANY_HOME, OpKind.VERIFY_KEY, asked)
        told = {"name": name, "ok": bool(answer["ok"])}
        return json_response(told | ({"reason": answer["reason"]} if answer["reason"] else {}))


def _name(request: Request) -> str:
    """The name in the path. Raises NotFound for what can be none."""
    name: str = request.path_params["name"]
    if not is_name(name):
        raise NotFound("There is no such key.")
    return name


def _document(key: RegisteredKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "provider": key.provider.value,
        "hint": key.hint,
        "kid": key.kid,
        "base_url": key.base_url,
        "scope": list(key.scope),
        "created_at": rfc3339(key.created_at),
        "last_used_at": rfc3339(key.last_used_at) if key.last_used_at else None,
        "expires_at": rfc3339(key.expires_at) if key.expires_at else None,
    }
