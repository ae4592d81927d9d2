"""
Loop: keeps the workspaces of this home below what the operator gave them.

Above the warning threshold it says so; above the critical one the workspaces that nobody needs go,
the one unused for longest first. What was recorded in them is kept elsewhere: a follow-up is made
anew from that, a little later. One in use, or whose task has a run queued, never goes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

import structlog

from internal.errors import CodeforgeError
from internal.workspace.manager import Workspaces
from internal.workspace.sweep import Ask
from internal.workspace.usage import Measured, WorkspaceUsage

_PERIOD_SECONDS = 60.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class DiskLevel(StrEnum):
    """How full it is."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskThresholds:
    """Bytes; 0 means none."""

    warning_bytes: int = 0
    critical_bytes: int = 0

    def level(self, total_bytes: int) -> DiskLevel:
        """What a sum of all workspaces means."""
        if 0 < self.critical_bytes < total_bytes:
            return DiskLevel.CRITICAL
        if 0 < self.warning_bytes < total_bytes:
            return DiskLevel.WARNING
        return DiskLevel.OK


class DiskQuota:
    """*ask* tells what Redis knows of tasks, as for the sweep."""

    def __init__(
        self, workspaces: Workspaces, usage: WorkspaceUsage, thresholds: DiskThresholds, *, ask: Ask
    ) -> None:
        self._workspaces = workspaces
        self._usage = usage
        self._thresholds = thresholds
        self._ask = ask
        self.level = DiskLevel.OK

    async def run(self, stop: asyncio.Event) -> None:
        """Measure and make room each minute, until *stop*."""
        while not stop.is_set():
            try:
                await self.relieve()
            except (CodeforgeError, OSError) as error:
                log.warning("workspace.quota_failed", error=str(error))
            try:
                async with asyncio.timeout(_PERIOD_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue

    async def relieve(self) -> None:
        """
        One round.

        Raises:
            CodeforgeError, OSError: the disk could not be listed, or Redis not be asked.
        """
        parts = await self._usage.measure()
        total = sum(part.size_bytes for part in parts)
        self._say(total)
        if self.level is not DiskLevel.CRITICAL:
            return
        for part in sorted(parts, key=lambda part: part.used_at):
            if total <= self._thresholds.critical_bytes:
                break
            if await self._remove(part):
                total -= part.size_bytes
        self._say(total)

    async def _remove(self, part: Measured) -> bool:
        """Whether it went. Redis is asked each time: a follow-up may have come meanwhile."""
        task = (part.tenant, part.task)
        known = (await self._ask([task])).get(task)
        if known is None or part.claim not in known.idle:
            return False
        await self._workspaces.drop(*task, part.claim)
        log.warning(
            "workspace.removed_for_room",
            task_id=part.task,
            claim=part.claim,
            freed_bytes=part.size_bytes,
        )
        return True

    def _say(self, total: int) -> None:
        """Log a change of the level, once; a critical one that lasts is said each round."""
        level = self._thresholds.level(total)
        if level is not self.level or level is DiskLevel.CRITICAL:
            say = log.info if level is DiskLevel.OK else log.warning
            say("workspace.disk", level=level.value, total_bytes=total)
        self.level = level
