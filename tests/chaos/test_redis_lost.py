"""Redis dies, stands still, stays away: no task is lost, and nobody is charged for it."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from internal.errors import Unavailable
from internal.process.shim import FREEZE_MARGIN_SECONDS
from internal.rdb.client import unavailable
from internal.rdb.embedded import EmbeddedRedis
from internal.task.state import State
from tests.support.chaos_site import TENANT, Site
from tests.support.git_http import git_http_server
from tests.support.waiting import until

pytestmark = pytest.mark.chaos


async def test_promise_20_agents_stand_still_while_redis_is_silent_and_then_go_on(
    site: Site, redis: EmbeddedRedis
) -> None:
    """An outage longer than the lease, shorter than the grace: no life, no work is lost."""
    worker = await site.start()
    task = await site.submit("say begun\nsleep 7\nsay done")
    await site.until_said(task, "begun")

    with _stopped(redis):
        await until("its agent stands still", lambda: worker.agent_states() == {"T"})
        await asyncio.sleep(FREEZE_MARGIN_SECONDS + 1)  # the fact is time: the lease has ended
    await until("its agent goes on", lambda: worker.agent_states() != {"T"})
    found = await site.finished(task)

    assert (found.status, found.lost, found.attempt) == (State.COMPLETED, 0, 1)
    assert await site.said(task) == ["begun", "done"]
    await site.settle()


async def test_redis_may_be_away_while_a_workspace_is_prepared(
    site: Site, redis: EmbeddedRedis
) -> None:
    """What the run wants to know or to say then waits; it does not fail."""
    root = site.repo.path.parent
    with git_http_server(root) as remote:
        remote.packs_may_go.clear()
        worker = await site.start()
        task = await site.submit("say done", repo_url=remote.url(site.repo.path.name))
        await until("the clone has begun", lambda: any("git-upload" in r for r in remote.requests))
        await _kill(redis)
        remote.packs_may_go.set()
        mirrors = site.layout().mirrors
        await until("the clone is there", lambda: list(mirrors.glob("*.git")))
        await until("the run waits for Redis", lambda: "redis.awaited" in worker.log())
        await redis.start()
        found = await site.finished(task)

    assert (found.status, found.lost, found.attempt) == (State.COMPLETED, 0, 1)
    await site.settle()


async def test_a_pause_asked_for_while_redis_goes_and_comes_is_one_pause(
    site: Site, redis: EmbeddedRedis
) -> None:
    """Refused while it is away; once accepted it holds, though Redis dies again at once."""
    await site.start(WORKERS__ISOLATION="none")
    server = await site.serve()
    task = await site.submit("write one.txt: x\nsay begun\nsleep 4\nwrite two.txt: x\nsay done")
    await site.until_said(task, "begun")
    async with site.client(server.url) as client:
        pause = f"/api/v1/tasks/{task}/pause"

        await _kill(redis)
        refused = await client.post(pause)
        await redis.start()

        async def is_accepted() -> bool:
            return (await client.post(pause)).is_success

        await until("the pause is accepted", is_accepted)
        await _kill(redis)
        await redis.start()
        paused = await site.until_task(task, "paused", lambda t: t.status is State.PAUSED)
        half = await site.patch(task)
        await site.core.service.resume(TENANT, task)
        found = await site.finished(task)

    assert refused.status_code == 503
    assert (paused.lost, paused.attempt) == (0, 1)
    assert b"one.txt" in half
    assert b"two.txt" not in half
    assert (found.status, found.lost, found.attempt) == (State.COMPLETED, 0, 2)
    patch = await site.patch(task)
    assert b"one.txt" in patch
    assert b"two.txt" in patch
    names = await site.names(task)
    assert names.count("control/paused") == names.count("control/resumed") == 1
    await site.settle()


async def test_promise_20_an_outage_longer_than_the_grace_hands_the_task_back(
    site: Site, redis: EmbeddedRedis
) -> None:
    """The run ends although nobody can be told; once Redis is back, it starts anew, uncharged."""
    worker = await site.start(WORKERS__OUTAGE_GRACE_SECONDS="3")
    task = await site.submit("say begun\nhang")
    await site.until_said(task, "begun")

    with _stopped(redis):
        await until("its agent is gone", lambda: not worker.agents())
    found = await site.until_task(task, "claimed again", lambda found: found.attempt == 2)
    await site.until_said(task, "begun", times=2)

    assert (found.lost, found.retries) == (0, 0)
    await site.cancel(task)
    await site.settle()


async def test_an_agent_that_its_shim_killed_is_handed_back(
    site: Site, redis: EmbeddedRedis
) -> None:
    """Worker and Redis stood still for longer than the grace: that is no failure of the agent."""
    worker = await site.start(WORKERS__OUTAGE_GRACE_SECONDS="1")
    task = await site.submit("say begun\nhang")
    await site.until_said(task, "begun")

    worker.send(signal.SIGSTOP)
    with _stopped(redis):
        await until("its agent is gone", lambda: not worker.agents())
    worker.send(signal.SIGCONT)
    await site.until_said(task, "begun", times=2)

    found = await site.task(task)
    assert (found.status, found.lost, found.attempt) == (State.RUNNING, 0, 2)
    await site.cancel(task)
    await site.settle()


async def test_promise_11_a_run_ends_although_redis_has_no_memory_left(
    site: Site, redis: EmbeddedRedis
) -> None:
    """Its events are dropped, which its log says; its end, its work and the heartbeats are not."""
    await site.start()
    task = await site.submit("say begun\nsleep 1\nsay lost\nsay done")
    await site.until_said(task, "begun")

    await _set_memory(site, "1")
    found = await site.finished(task)
    with pytest.raises(Unavailable), unavailable():
        await site.submit("say refused")
    await _set_memory(site, "0")

    assert (found.status, found.result, found.lost) == (State.COMPLETED, "done", 0)
    assert await site.said(task) == ["begun"]
    warnings = [e["data"] for e in await site.events(task) if e["event"] == "warning"]
    assert [warning["reason"] for warning in warnings] == ["events_dropped"]
    assert warnings[0]["events"] > 2
    await site.settle()


async def test_a_cancel_that_nobody_heard_reaches_the_agent_after_an_outage(
    site: Site, redis: EmbeddedRedis
) -> None:
    """The message is lost with Redis, the heartbeat's answer says it again."""
    worker = await site.start()
    task = await site.submit("say begun\nwrite kept.txt: x\nsay written\nhang")
    await site.until_said(task, "written")

    worker.send(signal.SIGSTOP)
    assert await site.cancel(task) is None
    await _kill(redis)
    worker.send(signal.SIGCONT)
    await redis.start()
    found = await site.finished(task)

    assert found.failure is not None
    assert (found.failure.reason, found.lost) == ("canceled", 0)
    assert b"kept.txt" in (await site.patch(task))
    assert not worker.agents()
    await site.settle()


async def _set_memory(site: Site, limit: str) -> None:
    await site.core.redis.config_set("maxmemory", limit)


async def _kill(redis: EmbeddedRedis) -> None:
    assert redis.pid is not None
    os.kill(redis.pid, signal.SIGKILL)
    await redis.wait_ended()


@contextmanager
def _stopped(redis: EmbeddedRedis) -> Generator[None]:
    """Redis answers nothing meanwhile, and its connections stay open."""
    assert redis.pid is not None
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(redis.pid, signal.SIGCONT)
