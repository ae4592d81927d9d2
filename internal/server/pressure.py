"""
Backpressure at the door: what submissions get now, from facts that are at most a second old.

The rule is `internal.control.pressure`; here the facts are gathered, once for all requests of that
second. An answer that is not yes names what is short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from internal.clock import Clock
from internal.control.pressure import Answer, Cause, Load, Verdict
from internal.errors import RateLimited, Unavailable
from internal.server.workers import Workers
from internal.task.service import TaskService

_FRESH_SECONDS = 1.0
_SAYS = {
    Cause.QUEUE: "more work waits than the workers can do soon",
    Cause.DISK: "the disks of all workers are above their critical threshold",
    Cause.MEMORY: "this server is short of memory",
    Cause.REDIS_MEMORY: "Redis is short of memory",
}


class Doorkeeper(Protocol):
    """Whether new work is taken."""

    async def check(self) -> None:
        """Raises RateLimited (slow down) or Unavailable (no room); Redis' errors pass through."""
        ...

    async def look(self) -> tuple[Verdict, Load]:
        """The verdict and what it is from."""
        ...


class PressureGauge:
    """The doorkeeper of one server. *count* is told each submission that is turned away."""

    def __init__(
        self,
        tasks: TaskService,
        workers: Workers,
        *,
        judge: Callable[[Load], Verdict],
        memory_share: Callable[[], float],
        clock: Clock,
        count: Callable[[str, str], None],
    ) -> None:
        self._tasks = tasks
        self._workers = workers
        self._judge = judge
        self._memory_share = memory_share
        self._clock = clock
        self._count = count
        self._reading = asyncio.Lock()
        self._read_at = float("-inf")
        self._known: tuple[Verdict, Load] = (Verdict(answer=Answer.ACCEPT), Load())

    async def check(self) -> None:
        """See `Doorkeeper`."""
        verdict, _ = await self.look()
        if verdict.answer is Answer.ACCEPT:
            return
        self._count(verdict.answer.value, verdict.cause.value)
        again = f"Ask again in {verdict.retry_after_seconds} s."
        said = f"No new work now ({verdict.cause}): {_SAYS[verdict.cause]}. {again}"
        if verdict.answer is Answer.SLOW:
            raise RateLimited(said, retry_after_seconds=verdict.retry_after_seconds)
        raise Unavailable(said, retry_after_seconds=verdict.retry_after_seconds)

    async def look(self) -> tuple[Verdict, Load]:
        """See `Doorkeeper`."""
        async with self._reading:
            if self._clock.monotonic() - self._read_at >= _FRESH_SECONDS:
                load = await self._load()
                self._known = (self._judge(load), load)
                self._read_at = self._clock.monotonic()
        return self._known

    async def _load(self) -> Load:
        backlog = await self._tasks.backlog()
        workers = await self._workers.list()
        disks = {worker.home: worker.is_full for worker in workers}
        return Load(
            runnable=backlog.runnable,
            oldest_seconds=backlog.oldest_seconds,
            slots=sum(worker.slots for worker in workers),
            homes=len(disks),
            full_homes=sum(disks.values()),
            memory_share=self._memory_share(),
            redis_memory_share=backlog.redis_memory_share,
        )
