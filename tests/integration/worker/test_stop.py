"""What a worker does that has to end before its runs do."""

from __future__ import annotations

import asyncio

import pytest

from internal.task.model import Claim
from internal.task.queue import Lane, TaskQueue
from internal.task.state import State
from internal.worker import pool as pools
from internal.worker.lease import Heartbeat, Hold
from internal.worker.pool import Pool
from tests.support.chaos_site import Site
from tests.support.waiting import until


async def test_weakness_3_a_run_that_cannot_end_in_time_is_handed_back_all_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled in the middle of anything, it costs no life, and its process tree is gone."""
    monkeypatch.setattr(pools, "_HAND_BACK_SECONDS", 0.1)
    async with site.worker(WORKERS__GRACE_SECONDS="0"):
        task = await site.submit("ignore-signals\nsay begun\nhang")
        await site.until_said(task, "begun")

    found = await site.task(task)
    assert (found.status, found.lost, found.attempt) == (State.PENDING, 0, 1)
    assert site.agents() == []
    await site.cancel(task)
    await site.settle()


class _Stubborn:
    """A runner that no cancellation reaches; nothing of ours is so, and bugs are."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []

    async def run(self, claim: Claim, hold: Hold) -> None:
        self.claims.append(claim)
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if len(self.claims) > 1:
                    raise
                self.claims.append(claim)


async def test_a_pool_ends_although_a_run_does_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every wait of a drain has a limit."""
    for name in ("_HAND_BACK_SECONDS", "_CANCEL_SECONDS"):
        monkeypatch.setattr(pools, name, 0.1)
    runner = _Stubborn()
    pool = _pool(site.core.queue, runner)
    task = await site.submit("anything")
    stop = asyncio.Event()
    running = asyncio.create_task(pool.run(stop))
    await until("it is claimed", lambda: runner.claims)

    stop.set()
    await asyncio.wait_for(running, 30)

    assert pool.busy == 1
    for left in asyncio.all_tasks() - {asyncio.current_task()}:
        left.cancel()
    await site.core.queue.hand_back(runner.claims[0], "operation", reason="shutdown")
    await site.cancel(task)
    await site.settle()


def _pool(queue: TaskQueue, runner: _Stubborn) -> Pool:
    def send(*_: object) -> object:
        raise AssertionError("this heartbeat is never started")

    beat = Heartbeat(
        send,  # type: ignore[arg-type]  # never called
        lease_seconds=9,
        outage_grace_seconds=1,
        info=lambda _: {},
        on_alone=lambda: None,
    )
    return Pool(
        queue,
        runner,
        beat,
        worker="worker",
        home="home",
        slots=2,
        lanes=(Lane.AGENT,),
        grace_seconds=0,
    )
