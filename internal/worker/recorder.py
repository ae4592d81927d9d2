"""
Events of one run on their way to the log: batches of at most 50 ms or 64 KiB.

What comes after a pause goes at once, so an agent's first word is not held back; what comes while
that is on its way, or within 50 ms, goes together. A silent run costs nothing.

A batch has a number within its claim, so a repeat after a lost reply is added once. While Redis is
away the batch is repeated and the rest waits here; `room` holds the producer back, and the agent's
shim has frozen it by then. What Redis has no memory for is dropped and counted: a run that can
still be finished is worth more than its events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog
from redis.exceptions import OutOfMemoryError

from internal.errors import Fenced
from internal.fault import fault_point
from internal.task.event import NewEvent, new_event
from internal.task.model import Claim
from internal.task.queue import TaskQueue
from internal.worker.patience import until_answered

log = structlog.get_logger(__name__)

BATCH_SECONDS = 0.05
BATCH_BYTES = 64 * 1024
_BATCH_EVENTS = 1_000
_BUFFER_BYTES = 1024 * 1024
_END_SECONDS = 5.0


class Recorder:
    """Use as a context manager around a run; `flush` before its end is reported."""

    def __init__(self, queue: TaskQueue, claim: Claim) -> None:
        self._queue = queue
        self._claim = claim
        self._waiting: list[NewEvent] = []
        self._bytes = 0
        self._batch = 0
        self._sending = asyncio.Lock()
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._fenced = False
        self._dropped = 0
        self._loop_task: asyncio.Task[None] | None = None
        self._delivery: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Recorder:
        self._loop_task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = {task for task in (self._loop_task, self._delivery) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_END_SECONDS)

    @property
    def tail(self) -> Sequence[NewEvent]:
        """What the report of the run has to add: that events were dropped."""
        if not self._dropped:
            return ()
        told = {"reason": "events_dropped", "events": self._dropped}
        return (new_event("system", "warning", told),)

    def add(self, event: NewEvent) -> None:
        """Take an event; it is on its way to the log within 50 ms."""
        if self._fenced:
            return
        self._waiting.append(event)
        self._bytes += event.size
        self._some.set()
        if self._bytes >= BATCH_BYTES:
            self._full.set()
        if self._bytes >= _BUFFER_BYTES:
            self._room.clear()

    async def room(self) -> None:
        """Return when there is room for more."""
        await self._room.wait()

    async def flush(self) -> None:
        """
        Return when everything taken so far is in the log.

        Raises:
            Fenced: nothing of this run counts any more.
        """
        while self._waiting or self._sending.locked():
            await self._send()
        if self._fenced:
            raise Fenced("The claim is not the task's any more.")

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            await self._send()
            with suppress(TimeoutError):
                async with asyncio.timeout(BATCH_SECONDS):
                    await self._full.wait()

    async def _send(self) -> None:
        async with self._sending:
            batch = self._take()
            if not batch:
                return
            self._batch += 1
            # Not cancelled with its caller: whether the batch is there would be unknown.
            self._delivery = asyncio.create_task(self._deliver(self._batch, batch))
            await asyncio.shield(self._delivery)

    def _take(self) -> Sequence[NewEvent]:
        size = count = 0
        for event in self._waiting[:_BATCH_EVENTS]:
            if count and size + event.size > BATCH_BYTES:
                break
            size, count = size + event.size, count + 1
        batch = self._waiting[:count]
        self._keep(self._waiting[count:], self._bytes - size)
        return batch

    def _keep(self, waiting: list[NewEvent], size: int) -> None:
        self._waiting, self._bytes = waiting, size
        if not waiting:
            self._some.clear()
        if size < BATCH_BYTES:
            self._full.clear()
        if size < _BUFFER_BYTES:
            self._room.set()

    async def _deliver(self, number: int, batch: Sequence[NewEvent]) -> None:
        async def append() -> bool:
            try:
                await self._queue.append(self._claim, number, batch)
            except OutOfMemoryError:
                return False
            fault_point("events_appended")
            return True

        try:
            if self._fenced or await until_answered(append):
                return
        except Fenced:
            self._fenced = True
            self._keep([], 0)
            return
        except Exception:  # refused for good: it costs these events, not the run
            log.exception("recorder.refused")
        if not self._dropped:
            log.warning("recorder.drops", task_id=self._claim.task.id)
        self._dropped += len(batch)
