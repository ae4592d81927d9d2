"""Answers a server's questions about the workspaces of this home."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from internal.workspace.manager import Workspaces
from internal.workspace.sweep import Ask
from internal.workspace.usage import WorkspaceUsage


class WorkspaceAnswers:
    """`LIST_WORKSPACES` and `DELETE_WORKSPACE`; *ask* tells what Redis knows of tasks."""

    def __init__(
        self, workspaces: Workspaces, usage: WorkspaceUsage, *, ask: Ask, ttl_seconds: float
    ) -> None:
        self._workspaces = workspaces
        self._usage = usage
        self._ask = ask
        self._ttl_seconds = ttl_seconds

    async def list(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """All of one tenant. Times are seconds since the epoch."""
        found = await self._usage.of_tenant(str(args["tenant"]))
        rows = [
            {
                "task": row.task,
                "bytes": row.size_bytes,
                "created_at": row.created_at,
                "used_at": row.used_at,
                "expires_at": row.used_at + self._ttl_seconds,
            }
            for row in found
        ]
        return {"workspaces": rows}

    async def delete(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Remove the workspace of a task, not what is recorded of its work.

        The disk is listed before Redis is asked, so a run that begins in between keeps its own.
        """
        task = (str(args["tenant"]), str(args["task"]))
        held = (await self._workspaces.list()).get(task)
        if held is None or not held.claims:
            return {"found": False, "in_use": False}
        known = (await self._ask([task])).get(task)
        if known is not None and known.leased:
            return {"found": True, "in_use": True}
        for claim in held.claims:
            await self._workspaces.drop(*task, claim)
        return {"found": True, "in_use": False}
