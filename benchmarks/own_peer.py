"""
CodeForge as one more peer: the same commands and jobs as the programs in `benchmarks/peers`.

A job is a task whose prompt says it. Pool, heartbeat, recorder, report and reaper are the real
ones; there is no clone and no agent process, as the peers have neither.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager

import uvloop

from benchmarks.null_worker import HOME, make_heartbeat, run_null
from benchmarks.peers import peerkit
from benchmarks.tasks import submit
from codeforge import runtime
from codeforge.parent import end_with_parent
from codeforge.wiring.core import Core, open_core, run_loops
from internal.task.model import Claim
from internal.task.queue import Lane, TaskQueue
from internal.worker.lease import Heartbeat, Hold
from internal.worker.pool import Pool


class JobRunner:
    """Runs a claim as the executor does, with the job in the agent's place."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue

    async def run(self, claim: Claim, hold: Hold) -> None:
        """See `pool.Runner`."""
        del hold
        job, _, argument = claim.task.prompt.partition(" ")
        if job == "slow":
            peerkit.started(int(argument))
            await asyncio.sleep(peerkit.SLOW_SECONDS)
            peerkit.ended(int(argument))
        elif job == "stamp":
            peerkit.stamp(float(argument))
        else:
            peerkit.noop()
        await run_null(self._queue, claim)


async def _fill(job: str, count: int) -> None:
    async with _core() as core:
        for number in range(count):
            await submit(core, f"{job} {number}")


async def _send(count: int) -> None:
    async with _core() as core:
        for _ in range(count):
            await asyncio.sleep(peerkit.PAUSE_SECONDS)
            await submit(core, f"stamp {time.monotonic()}")


async def _work() -> None:
    async with _core() as core:
        worker = f"null-{os.getpid()}"
        beat = make_heartbeat(core, worker)
        await core.queue.register(worker, HOME, {})
        beat.start()
        pools = [_pool(core, beat, worker, lane) for lane in (Lane.AGENT, Lane.ALONE)]
        async with asyncio.TaskGroup() as group:
            group.create_task(beat.tick())
            group.create_task(run_loops([*pools, core.reaper], runtime.stop_event()))


def _pool(core: Core, beat: Heartbeat, worker: str, lane: Lane) -> Pool:
    return Pool(
        core.queue,
        JobRunner(core.queue),
        beat,
        worker=worker,
        home=HOME,
        slots=1 if lane is Lane.ALONE else peerkit.CONCURRENCY,
        lanes=(lane,),
        grace_seconds=5,
    )


def _core() -> AbstractAsyncContextManager[Core]:
    loaded = runtime.load(os.environ)
    runtime.start_logs(loaded.settings)
    return open_core(loaded.settings, runtime.find_secrets(loaded.settings))


def _run(what: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(what)


if __name__ == "__main__":
    end_with_parent(os.environ)
    peerkit.main(
        fill=lambda job, count: _run(_fill(job, count)),
        send=lambda count: _run(_send(count)),
        work=lambda: _run(_work()),
    )
