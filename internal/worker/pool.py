"""
The pool: claims tasks while slots are free, runs each in its own asyncio task, stops in two stages.

First stage (*stop* is set): nothing new is claimed, what runs may finish within the grace time.
Second stage: what still runs is handed back to the queue, without losing a life.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from internal.fault import fault_point
from internal.task.model import Claim
from internal.task.queue import Held, Lane, TaskQueue
from internal.worker.lease import Heartbeat, Hold, Stop

log = structlog.get_logger(__name__)

_REDIS_PAUSE_SECONDS = 1.0
_HELD_SECONDS = 2.0
"""Until a worker that gets nothing asks again; it would take the bells from those who may."""
_HAND_BACK_SECONDS = 20.0
"""Ending a process tree takes at most 12 s, recording its work some more."""
_CANCEL_SECONDS = 10.0
"""A cancelled run says its last word within 5 s."""


class Runner(Protocol):
    """What runs one claim to its reported end; it lets no error out but cancellation."""

    async def run(self, claim: Claim, hold: Hold) -> None: ...


class EitherRunner:
    """For a pool that takes every kind of run."""

    def __init__(self, agents: Runner, publishing: Runner) -> None:
        self._agents = agents
        self._publishing = publishing

    async def run(self, claim: Claim, hold: Hold) -> None:
        """As the one that *claim* is for."""
        runner = self._publishing if claim.publish else self._agents
        await runner.run(claim, hold)


class Pool:
    """*lanes* are tried in order; *until_empty* ends the pool when nothing is left to claim."""

    def __init__(
        self,
        queue: TaskQueue,
        runner: Runner,
        heartbeat: Heartbeat,
        *,
        worker: str,
        home: str,
        slots: int,
        lanes: Sequence[Lane],
        grace_seconds: float,
        until_empty: bool = False,
    ) -> None:
        self._queue = queue
        self._runner = runner
        self._heartbeat = heartbeat
        self._worker = worker
        self._home = home
        self._slots = slots
        self._lanes = lanes
        self._grace_seconds = grace_seconds
        self._until_empty = until_empty
        self._running: set[asyncio.Task[None]] = set()
        self._holds: set[Hold] = set()

    @property
    def busy(self) -> int:
        """Slots in use."""
        return len(self._running)

    async def run(self, stop: asyncio.Event) -> None:
        """Claim and run until *stop*; returns when nothing of this pool runs any more."""
        ended = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                if self.busy >= self._slots:
                    await asyncio.wait({ended, *self._running}, return_when=asyncio.FIRST_COMPLETED)
                elif not await self._claim_one(ended) and not await self._wait_for_work(ended):
                    break
        finally:
            ended.cancel()
            await self._drain()

    async def _claim_one(self, ended: asyncio.Task[bool]) -> bool:
        for lane in self._lanes:
            asked_at = time.monotonic()
            try:
                claim = await self._queue.claim(lane, worker=self._worker, home=self._home)
            except Held:
                await asyncio.wait({ended}, timeout=_HELD_SECONDS)
                return not self._until_empty
            except (RedisError, OSError) as error:
                log.warning("pool.redis_away", error=str(error))
                await asyncio.sleep(_REDIS_PAUSE_SECONDS)
                return True  # ask again rather than take silence for an empty queue
            if claim is not None:
                fault_point("claimed")
                self._start(claim, asked_at)
                return True
        return False

    def _start(self, claim: Claim, asked_at: float) -> None:
        hold = self._heartbeat.hold(claim, asked_at)
        running = asyncio.create_task(self._run_one(claim, hold), name=f"run {claim.task.id}")
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _run_one(self, claim: Claim, hold: Hold) -> None:
        with structlog.contextvars.bound_contextvars(task_id=claim.task.id, claim=claim.claim):
            self._holds.add(hold)
            try:
                await self._runner.run(claim, hold)
            finally:
                self._holds.discard(hold)
                self._heartbeat.release(hold)

    async def _wait_for_work(self, ended: asyncio.Task[bool]) -> bool:
        """Whether to go on; waits for a bell, a free slot or the end."""
        if self._until_empty:
            if not self._running:
                return False
            await asyncio.wait({ended, *self._running}, return_when=asyncio.FIRST_COMPLETED)
            return True
        bell = asyncio.create_task(self._queue.wait(self._lanes, self._home))
        await asyncio.wait({ended, bell}, return_when=asyncio.FIRST_COMPLETED)
        if not bell.done():
            bell.cancel()  # a bell carries no work, so nothing is lost with it
        (outcome,) = await asyncio.gather(bell, return_exceptions=True)
        if isinstance(outcome, (RedisError, OSError)):
            log.warning("pool.redis_away", error=str(outcome))
            await asyncio.sleep(_REDIS_PAUSE_SECONDS)
        return True

    async def _drain(self) -> None:
        if self._running:
            log.info("pool.draining", running=self.busy, grace_seconds=self._grace_seconds)
            await asyncio.wait(self._running, timeout=self._grace_seconds)
        for hold in self._holds:  # not all of the process: another pool has its own time
            hold.stop(Stop.SHUTDOWN)
        if self._running:
            await asyncio.wait(self._running, timeout=_HAND_BACK_SECONDS)
        for running in self._running:
            running.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_CANCEL_SECONDS)
