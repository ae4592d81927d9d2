"""What holds runs back, and letting them go on by hand. For administrators."""

from __future__ import annotations

import dataclasses
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from internal.access.model import Caller
from internal.clock import rfc3339
from internal.control.breaker import endpoint_key
from internal.control.pressure import Load, Verdict
from internal.server.body import read_json
from internal.server.deps import ServerDeps
from internal.server.document import json_response, set_only, time_or_none
from internal.server.query import Query
from internal.server.request import caller_of
from internal.server.schema_control import ReleaseBody
from internal.task.breakers import Breaker
from internal.task.daybudgets import DayBudget
from internal.task.escalations import Escalated, is_of, is_seen_by, scope_of
from internal.task.gatekeeper import GateStand


class ControlHandlers:
    """The handlers. An operator sees everybody's; other tenants their own and what all share."""

    def __init__(self, deps: ServerDeps) -> None:
        self._gates = deps.gates
        self._escalations = deps.escalations
        self._door = deps.door
        self._breakers = deps.breakers
        self._budgets = deps.budgets
        self._audit = deps.audit

    async def show(self, request: Request) -> Response:
        """How everything stands now."""
        Query(request).finish()
        whose = _whose(caller_of(request))
        gates = await self._gates.list(whose)
        levels = await self._escalations.list()
        breakers = await self._breakers.list()
        budgets = await self._budgets.list()
        return json_response(
            {
                "gates": [_gate(x) for x in gates if _may_see(x.key, whose)],
                "breakers": [_breaker(x) for x in breakers if _may_see(x.key, whose)],
                "budgets": [_budget(budget) for budget in budgets if budget.is_of(whose)],
                "escalations": [_escalated(x) for x in levels if is_seen_by(x.scope, whose)],
                "pressure": _pressure(*await self._door.look()),
            }
        )

    async def release(self, request: Request) -> Response:
        """Open what is shut, until something shuts it again."""
        Query(request).finish()
        body = await read_json(request, ReleaseBody)
        caller = caller_of(request)
        whose, scope = _whose(caller), scope_of(body.scope)
        if not (is_of(scope, whose) and await self._escalations.release(scope)):
            await self._gates.release(body.scope, whose)
        await self._audit.record(caller, "control.release", body.scope)
        return json_response({"scope": body.scope})


def _whose(caller: Caller) -> str | None:
    return None if caller.is_operator else caller.tenant


def _escalated(found: Escalated) -> dict[str, Any]:
    shown = {
        "scope": found.scope,
        "level": found.level.value,
        "reason": found.reason.value,
        "signals": found.signals,
        "since": rfc3339(found.since),
        "changed_at": rfc3339(found.changed_at),
        "repo_url": found.repo_url,
    }
    return set_only(shown)


def _pressure(verdict: Verdict, load: Load) -> dict[str, Any]:
    return {
        "answer": verdict.answer.value,
        "cause": verdict.cause.value,
        "retry_after_seconds": verdict.retry_after_seconds,
        "runnable": load.runnable,
        "oldest_seconds": round(load.oldest_seconds, 3),
        "slots": load.slots,
        "homes": load.homes,
        "full_homes": load.full_homes,
        "memory_share": round(load.memory_share, 3),
        "redis_memory_share": round(load.redis_memory_share, 3),
    }


def _may_see(key: str, whose: str | None) -> bool:
    """Which endpoints there are is for operators: a name may be some tenant's own."""
    return whose is None or not key.startswith(endpoint_key(""))


def _breaker(breaker: Breaker) -> dict[str, Any]:
    return set_only(
        {
            "key": breaker.key,
            "state": breaker.state.value,
            "calls": breaker.calls,
            "failed": breaker.failed,
            "slow": breaker.slow,
            "consecutive": breaker.consecutive,
            "judged_at": rfc3339(breaker.judged_at),
            "until": time_or_none(breaker.until),
            "since": time_or_none(breaker.since),
            "why": breaker.why,
        }
    )


def _budget(budget: DayBudget) -> dict[str, Any]:
    return set_only(dataclasses.asdict(budget))


def _gate(gate: GateStand) -> dict[str, Any]:
    return set_only(
        {
            "key": gate.key,
            "kind": gate.kind.value,
            "state": gate.stand.value,
            "waiting": gate.waiting,
            "until": time_or_none(gate.opens_at),
            "limit": gate.limit,
            "held": gate.held,
            "why": gate.why,
            "since": time_or_none(gate.since),
            "times": gate.times,
            "repo_url": gate.repo_url,
        }
    )
