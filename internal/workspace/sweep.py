"""
Removes what no task owns any more: what dead runs left, workspaces unused for long, erased tasks.

The disk is listed before Redis is asked, so a claim that begins in between is not on the list. A
leased claim is always spared. Only directories with our marker, or in our own `data_dir`, are
touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from internal.clock import Clock
from internal.errors import CodeforgeError
from internal.workspace.manager import Workspaces

TaskRef = tuple[str, str]
"""Tenant and task."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskClaims:
    """
    What Redis knows of a task's claims; `leased` run now, `recorded` are those of its iterations.
    """

    leased: frozenset[str]
    recorded: frozenset[str]


Ask = Callable[[Collection[TaskRef]], Awaitable[Mapping[TaskRef, TaskClaims]]]
"""Of these tasks, those that exist. A task that is left out is erased: raise when in doubt."""


class ClaimStore(Protocol):
    """Something on disk that lies under claims: workspaces, sessions, outputs, recorded work."""

    async def list_claims(self) -> Mapping[TaskRef, frozenset[str]]: ...

    async def drop(self, tenant: str, task: str, claim: str) -> None: ...

    async def erase(self, tenant: str, task: str) -> None: ...


class Sweep:
    """The loop that keeps one home's disk clean."""

    def __init__(
        self,
        workspaces: Workspaces,
        others: Sequence[ClaimStore],
        *,
        ask: Ask,
        clock: Clock,
        workspace_ttl_seconds: float,
        interval_seconds: float = 300,
    ) -> None:
        """*others* are the stores beside the workspaces; all are swept alike."""
        self._workspaces = workspaces
        self._stores: tuple[ClaimStore, ...] = (workspaces, *others)
        self._ask = ask
        self._clock = clock
        self._workspace_ttl_seconds = workspace_ttl_seconds
        self._interval_seconds = interval_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep at once and then at each interval, until *stop* is set."""
        while not stop.is_set():
            try:
                await self.sweep()
            except (CodeforgeError, OSError) as error:
                log.warning("workspace.sweep_failed", error=str(error))
            try:
                await asyncio.wait_for(stop.wait(), self._interval_seconds)
            except TimeoutError:
                continue

    async def sweep(self) -> None:
        """
        One round over the whole disk.

        Raises:
            CodeforgeError, OSError: the disk could not be listed or Redis not be asked; one task
            that
                cannot be swept is logged and does not keep the others.
        """
        listed = [(store, await store.list_claims()) for store in self._stores]
        tasks = {task for _, claims in listed for task in claims}
        known = await self._ask(tasks)
        for store, claims_by_task in listed:
            for task, claims in claims_by_task.items():
                await self._guarded(self._sweep_task(store, task, claims, known.get(task)))
        await self._expire(listed[0][1], known)

    async def erase(self, tenant: str, task: str) -> None:
        """
        Remove everything of one task from this disk; repeatable.

        Raises:
            CodeforgeError, OSError: something could not be removed; the sweep tries it again.
        """
        for store in self._stores:
            await store.erase(tenant, task)

    async def _sweep_task(
        self, store: ClaimStore, task: TaskRef, claims: Collection[str], known: TaskClaims | None
    ) -> None:
        if known is None:
            await store.erase(*task)
            return
        for claim in claims:
            if claim not in known.leased and claim not in known.recorded:
                await store.drop(*task, claim)

    async def _expire(
        self, workspaces: Mapping[TaskRef, Collection[str]], known: Mapping[TaskRef, TaskClaims]
    ) -> None:
        """Remove recorded workspaces unused for long; their kept work and session stay."""
        oldest = self._clock.now().timestamp() - self._workspace_ttl_seconds
        for task, state in known.items():
            for claim in state.recorded.intersection(workspaces.get(task, ())) - state.leased:
                if await self._workspaces.last_use(task[1], claim) < oldest:
                    await self._guarded(self._workspaces.drop(*task, claim))

    async def _guarded(self, step: Awaitable[None]) -> None:
        try:
            await step
        except (CodeforgeError, OSError) as error:
            log.warning("workspace.sweep_skipped", error=str(error))
