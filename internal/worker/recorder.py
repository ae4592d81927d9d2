"""
Events of one run on their way to the log: batches of at most 50 ms or 64 KiB.

A batch has a number within its claim, so a repeat after a lost reply is added once. While Redis is
away the batch is repeated and the rest waits here; `room` holds the producer back, and the agent's
shim has frozen it by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from redis.exceptions import RedisError

from internal.errors import Fenced
from internal.task.event import NewEvent
from internal.task.model import Claim
from internal.task.queue import TaskQueue

log = structlog.get_logger(__name__)

BATCH_SECONDS = 0.05
BATCH_BYTES = 64 * 1024
_BATCH_EVENTS = 1_000
_BUFFER_BYTES = 1024 * 1024
_REPEAT_SECONDS = 0.5


class Recorder:
    """Use as a context manager around a run; `flush` before its end is reported."""

    def __init__(self, queue: TaskQueue, claim: Claim) -> None:
        self._queue = queue
        self._claim = claim
        self._waiting: list[NewEvent] = []
        self._bytes = 0
        self._batch = 0
        self._sending = asyncio.Lock()
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._fenced = False
        self._loop_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Recorder:
        self._loop_task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)

    def add(self, event: NewEvent) -> None:
        """Take an event; it is in the log 50 ms later, or after `flush`."""
        if self._fenced:
            return
        self._waiting.append(event)
        self._bytes += event.size
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
            try:
                async with asyncio.timeout(BATCH_SECONDS):
                    await self._full.wait()
            except TimeoutError:
                pass
            if self._waiting:
                await self._send()

    async def _send(self) -> None:
        async with self._sending:
            batch = self._take()
            if not batch:
                return
            self._batch += 1
            # Not cancelled half-way: a cancelled command leaves its reply on the connection.
            await asyncio.shield(self._deliver(self._batch, batch))

    def _take(self) -> Sequence[NewEvent]:
        size = count = 0
        for event in self._waiting[:_BATCH_EVENTS]:
            if count and size + event.size > BATCH_BYTES:
                break
            size, count = size + event.size, count + 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._bytes -= size
        if self._bytes < BATCH_BYTES:
            self._full.clear()
        if self._bytes < _BUFFER_BYTES:
            self._room.set()
        return batch

    async def _deliver(self, number: int, batch: Sequence[NewEvent]) -> None:
        while not self._fenced:
            try:
                await self._queue.append(self._claim, number, batch)
            except Fenced:
                self._fenced = True
                self._waiting.clear()
                self._room.set()
            except (RedisError, OSError) as error:
                log.warning("recorder.repeats", task_id=self._claim.task.id, error=str(error))
                await asyncio.sleep(_REPEAT_SECONDS)
            else:
                return
