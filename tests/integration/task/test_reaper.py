"""The loop that does the queue's chores in every process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from internal.rdb.client import connect
from internal.rdb.keys import Keys
from internal.task.queue import TaskQueue
from internal.task.reaper import Reaper
from tests.support.queue_lab import Lab
from tests.support.waiting import until

pytestmark = pytest.mark.live_keys


def said(logs: list[EventDict]) -> list[str]:
    return [str(entry["event"]) for entry in logs]


async def outlive_a_lease(lab: Lab) -> None:
    """Longer than a lease, with a worker that speaks, so that nobody takes it for an outage."""
    for _ in range(4):
        await lab.sleep(3)
        await lab.beat("w2", "h1", [])


async def chores_until(lab: Lab, event: str) -> list[EventDict]:
    """The log of the loop, which is told to stop once it says *event*."""
    stop = asyncio.Event()
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as group:
            group.create_task(Reaper(lab.queue, home_grace_seconds=60).run(stop))
            await until(event, lambda: event in said(logs))
            stop.set()
    return logs


async def test_the_chores_are_done_until_it_is_told_to_stop(lab: Lab) -> None:
    """A due wait is promoted and a lost worker's task given back, without anybody asking."""
    await lab.create()
    await lab.create()
    waiting = await lab.take()
    await lab.queue.hand_back(waiting, "op", reason="disk_full", delay_seconds=5, repeat=True)
    await lab.take()
    await outlive_a_lease(lab)

    await chores_until(lab, "reaper.workers_lost")

    assert await lab.claim("w2")
    assert await lab.claim("w2")


async def test_an_outage_is_waited_out_and_told_once(tmp_path: Path) -> None:
    """No Redis there: the loop goes on trying, and stops at once when it is told to."""
    stop = asyncio.Event()
    with capture_logs() as logs:
        async with connect(f"unix://{tmp_path}/nobody.sock", role="command") as redis:
            queue = TaskQueue(redis, Keys("lab:"), lease_seconds=9)
            async with asyncio.TaskGroup() as group:
                group.create_task(Reaper(queue, home_grace_seconds=60).run(stop))
                await until("the outage", lambda: logs)
                stop.set()

    assert said(logs) == ["reaper.redis_away"]


async def test_a_document_that_is_broken_is_no_outage(lab: Lab) -> None:
    """An operator looks for it; the chores of all others go on meanwhile."""
    await lab.create()
    broken = await lab.take()
    document = lab.keys.task("default", broken.task.id)
    since = await lab.redis.hget(document, "since")
    await lab.redis.hdel(document, "since")
    await outlive_a_lease(lab)

    logs = await chores_until(lab, "reaper.refused")
    await lab.redis.hset(document, "since", str(since))
    await lab.sleep(61)  # a broken one is put off by a minute
    for _ in range(4):
        await lab.reap()
        await lab.sleep(3)

    assert "reaper.redis_away" not in said(logs)
    assert "broken document" in str(logs[0]["error"])
