"""Workers whose clocks are wrong: what is due, and who is lost, Redis' clock says."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from internal.task.state import State
from tests.support.chaos_cli import quick_cli
from tests.support.chaos_process import WorkerProcess
from tests.support.chaos_site import Site
from tests.support.receiver import Receiver
from tests.support.waiting import until

pytestmark = pytest.mark.chaos

_HOUR = 3600


async def test_promise_9_clocks_an_hour_off_change_nothing(site: Site) -> None:
    """
    Neither takes the other's task back, a killed one's is taken back in time, and every time that
    is told is Redis'.
    """
    late = await site.start(clock_off_seconds=f"-{_HOUR}", WORKERS__CONCURRENCY="1")
    first = await site.submit("say begun\nhang")
    await site.until_said(first, "begun")
    early = await site.start(clock_off_seconds=f"{_HOUR}", WORKERS__CONCURRENCY="1")
    second = await site.submit("say begun\nhang")
    await site.until_said(second, "begun")

    late.kill()
    await site.start(CLI__DEMO__PATH=quick_cli(site.directory))
    found = await site.finished(first)

    assert (found.status, found.lost, found.attempt) == (State.COMPLETED, 1, 2)
    running = await site.task(second)
    assert (running.status, running.lost, running.attempt) == (State.RUNNING, 0, 1)
    assert (_hours_off(late), _hours_off(early)) == (-1, 1)
    await site.cancel(second)
    for task in (first, second):
        await _times_are_of_one_clock(site, task)
    await until("its agent is gone", lambda: not early.agents())
    await site.settle()


async def test_promise_9_a_webhook_is_signed_with_redis_time(site: Site) -> None:
    """A careful receiver refuses a signature that is minutes old, or from the future."""
    ahead = await site.start(clock_off_seconds=f"{_HOUR}")
    async with Receiver().listening() as receiver:
        task = await site.submit("say done", callback_url=receiver.url())
        (received,) = await receiver.wait_for(1)
        await site.finished(task)

    assert _hours_off(ahead) == 1
    assert abs(int(received.headers["webhook-timestamp"]) - time.time()) < 300
    await site.settle()


@pytest.mark.parametrize("hours", [-3, 3])
async def test_promise_9_a_quota_is_waited_for_by_redis_time(site: Site, hours: int) -> None:
    """A provider names a moment: whatever a worker's own clock says, it is that one."""
    process = await site.start(clock_off_seconds=str(hours * _HOUR))
    opens = int(time.time()) + 2 * _HOUR

    task = await site.submit(f"fail quota_exhausted usage limit reached|{opens}")
    found = await site.until_task(task, "it waits", lambda found: found.wait)

    assert _hours_off(process) == hours
    assert found.wait is not None
    assert found.wait.until is not None
    assert abs(found.wait.until.timestamp() - opens) < 60
    await site.cancel(task)
    await site.settle()


def _hours_off(process: WorkerProcess) -> int:
    """By how much the times in its log are wrong."""
    first = json.loads(process.log().splitlines()[0])
    off = datetime.fromisoformat(first["timestamp"]) - datetime.now(UTC)
    return round(off.total_seconds() / _HOUR)


async def _times_are_of_one_clock(site: Site, task: str) -> None:
    found = await site.finished(task)
    assert found.started_at is not None
    assert found.finished_at is not None
    told = [event["ts"] for event in await site.events(task)]
    assert told == sorted(told)
    assert found.created_at <= found.started_at <= found.finished_at
    assert found.finished_at - found.created_at < timedelta(minutes=5)
