"""
The workspaces of the tenant's tasks, on the disks of all homes.

A server touches no disk: it asks a worker of each home that lives, all at the same time. A home
that does not answer is named, because what it holds is not in the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response

from internal.clock import rfc3339
from internal.errors import Conflict, NotFound, Unavailable
from internal.server.deps import ServerDeps
from internal.server.document import Json, json_response
from internal.server.query import Query
from internal.server.request import caller_of, expect_nothing, task_id_of, tenant_of
from internal.task.ops import OpKind

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """What the homes said, by home, and which of them said nothing."""

    by_home: Mapping[str, Mapping[str, Any]]
    unreachable: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A workspace as its home tells of it; times in seconds since the epoch."""

    home: str
    task: str
    size_bytes: int
    created_at: float
    used_at: float
    expires_at: float


class WorkspaceHandlers:
    """The handlers, over ops."""

    def __init__(self, deps: ServerDeps) -> None:
        self._ops = deps.ops
        self._workers = deps.workers
        self._tasks = deps.tasks
        self._audit = deps.audit

    async def list(self, request: Request) -> Response:
        """All of them, the one used last first."""
        Query(request).finish()
        tenant = tenant_of(request)
        answers = await self._ask(OpKind.LIST_WORKSPACES, {"tenant": tenant})
        rows = [
            _row(home, said)
            for home, all_said in answers.by_home.items()
            for said in all_said["workspaces"]
        ]
        rows.sort(key=lambda row: (-row.used_at, row.task))
        states = await self._tasks.states(tenant, [row.task for row in rows])
        return json_response(
            {
                "workspaces": [_document(row, states.get(row.task, "unknown")) for row in rows],
                "total_count": len(rows),
                "total_size_mb": _mebibytes(sum(row.size_bytes for row in rows)),
                "unreachable": answers.unreachable,
            }
        )

    async def delete(self, request: Request) -> Response:
        """200; 404 when no home has one, 409 while a run uses it. Its kept work stays."""
        await expect_nothing(request)
        tenant, task = tenant_of(request), task_id_of(request)
        answers = await self._ask(OpKind.DELETE_WORKSPACE, {"tenant": tenant, "task": task})
        if any(answer["in_use"] for answer in answers.by_home.values()):
            raise Conflict("A run uses this workspace; cancel it, or wait for its end.")
        if not any(answer["found"] for answer in answers.by_home.values()):
            if answers.unreachable:
                raise Unavailable("Not every home answered; one of them may have it.")
            raise NotFound("There is no such workspace.")
        await self._audit.record(caller_of(request), "workspace.delete", task)
        return json_response({"message": "The workspace is removed; its recorded work stays."})

    async def _ask(self, kind: OpKind, args: Mapping[str, Any]) -> _Answers:
        homes = sorted({worker.home for worker in await self._workers.list()})
        answers = await asyncio.gather(*(self._ask_home(home, kind, args) for home in homes))
        said = dict(zip(homes, answers, strict=True))
        return _Answers(
            by_home={home: answer for home, answer in said.items() if answer is not None},
            unreachable=[home for home, answer in said.items() if answer is None],
        )

    async def _ask_home(
        self, home: str, kind: OpKind, args: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        try:
            return await self._ops.ask(home, kind, args)
        except Unavailable as error:
            log.warning("workspaces.home_silent", home=home, error=error.message)
            return None


def _row(home: str, said: Mapping[str, Any]) -> _Row:
    return _Row(
        home=home,
        task=said["task"],
        size_bytes=said["bytes"],
        created_at=said["created_at"],
        used_at=said["used_at"],
        expires_at=said["expires_at"],
    )


def _document(row: _Row, status: str) -> Json:
    return {
        "task_id": row.task,
        "task_status": status,
        "home": row.home,
        "size_mb": _mebibytes(row.size_bytes),
        "size_bytes": row.size_bytes,
        "created_at": _time(row.created_at),
        "last_used_at": _time(row.used_at),
        "expires_at": _time(row.expires_at),
    }


def _mebibytes(size: int) -> float:
    return round(size / _MIB, 3)


def _time(seconds: float) -> str:
    return rfc3339(datetime.fromtimestamp(seconds, UTC))
