"""What holds runs back, and letting them go on by hand. For administrators."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from internal.access.model import Caller
from internal.clock import rfc3339
from internal.server.body import read_json
from internal.server.deps import ServerDeps
from internal.server.document import json_response
from internal.server.query import Query
from internal.server.request import caller_of
from internal.server.schema_control import ReleaseBody
from internal.task.gatekeeper import GateStand


class ControlHandlers:
    """The handlers. An operator sees everybody's; other tenants their own and what all share."""

    def __init__(self, deps: ServerDeps) -> None:
        self._gates = deps.gates
        self._audit = deps.audit

    async def show(self, request: Request) -> Response:
        """How everything stands now."""
        Query(request).finish()
        gates = await self._gates.list(_whose(caller_of(request)))
        return json_response({"gates": [_gate(gate) for gate in gates]})

    async def release(self, request: Request) -> Response:
        """Open what is shut, until something shuts it again."""
        Query(request).finish()
        body = await read_json(request, ReleaseBody)
        caller = caller_of(request)
        await self._gates.release(body.scope, _whose(caller))
        await self._audit.record(caller, "control.release", body.scope)
        return json_response({"scope": body.scope})


def _whose(caller: Caller) -> str | None:
    return None if caller.is_operator else caller.tenant


def _gate(gate: GateStand) -> dict[str, Any]:
    document: dict[str, Any] = {
        "key": gate.key,
        "kind": gate.kind.value,
        "state": gate.stand.value,
        "waiting": gate.waiting,
        "until": gate.opens_at and rfc3339(gate.opens_at),
        "limit": gate.limit,
        "held": gate.held,
        "why": gate.why,
        "since": gate.since and rfc3339(gate.since),
        "times": gate.times,
    }
    return {name: value for name, value in document.items() if value is not None}
