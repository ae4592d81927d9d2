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
from internal.workspace.manager import Held, Workspaces

_SECOND_ROUND_SECONDS = 30.0
"""By then the leases of a worker that was killed before this one began have ended."""

TaskRef = tuple[str, str]
"""Tenant and task."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskClaims:
    """
    What Redis knows of a task's claims; `leased` run now, `recorded` are those of its iterations.

    While it is not finished, a run that is queued may take over the workspace of a recorded one.
    """

    leased: frozenset[str]
    recorded: frozenset[str]
    is_finished: bool = True

    @property
    def idle(self) -> frozenset[str]:
        """Whose workspaces nobody needs: what was recorded in them is kept elsewhere."""
        return self.recorded - self.leased if self.is_finished else frozenset()


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
        self._erased: set[TaskRef] = set()
        self._rung = asyncio.Event()

    def ring(self, tenant: str, task: str) -> None:
        """Say that a task was erased: what is here of it goes now and not with the next round."""
        self._erased.add((tenant, task))
        self._rung.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep at once, soon again, and then at each interval, until *stop* is set."""
        loop = asyncio.get_running_loop()
        pause_seconds = min(_SECOND_ROUND_SECONDS, self._interval_seconds)
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self._logged(self.sweep())
                due = loop.time() + pause_seconds
                pause_seconds = self._interval_seconds
                while not stop.is_set() and loop.time() < due:
                    await self._rest(stopping, due - loop.time())
                    await self._logged(self._erase_rung())
        finally:
            stopping.cancel()

    async def _rest(self, stopping: asyncio.Task[bool], seconds: float) -> None:
        """Return when it is time for a round, somebody rang, or the end has come."""
        ringing = asyncio.create_task(self._rung.wait())
        await asyncio.wait(
            {stopping, ringing}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        ringing.cancel()
        self._rung.clear()

    async def _erase_rung(self) -> None:
        """What a bell says is only a hint: Redis is asked whether the task is gone."""
        rung, self._erased = self._erased, set()
        if rung:
            known = await self._ask(rung)
            for task in rung - set(known):
                await self._guarded(self.erase(*task))

    async def _logged(self, step: Awaitable[None]) -> None:
        try:
            await step
        except (CodeforgeError, OSError) as error:
            log.warning("workspace.sweep_failed", error=str(error))

    async def sweep(self) -> None:
        """
        One round over the whole disk.

        Raises:
            CodeforgeError, OSError: the disk could not be listed or Redis not be asked; one task
            that
                cannot be swept is logged and does not keep the others.
        """
        held = await self._workspaces.list()
        listed = [(store, await store.list_claims()) for store in self._stores]
        tasks = {task for _, claims in listed for task in claims}
        known = await self._ask(tasks)
        for store, claims_by_task in listed:
            for task, claims in claims_by_task.items():
                await self._guarded(self._sweep_task(store, task, claims, known.get(task)))
        await self._expire(held, known)

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
        self, held: Mapping[TaskRef, Held], known: Mapping[TaskRef, TaskClaims]
    ) -> None:
        """Remove idle workspaces unused for long; their kept work and session stay."""
        oldest = self._clock.now().timestamp() - self._workspace_ttl_seconds
        for task, here in held.items():
            idle = known[task].idle if task in known else frozenset[str]()
            for claim, used_at in here.claims.items():
                if claim in idle and used_at < oldest:
                    await self._guarded(self._workspaces.drop(*task, claim))

    async def _guarded(self, step: Awaitable[None]) -> None:
        try:
            await step
        except (CodeforgeError, OSError) as error:
            log.warning("workspace.sweep_skipped", error=str(error))
