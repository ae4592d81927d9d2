"""Workers that are told to stop, runs that are cancelled: within their limits, without a loss."""

from __future__ import annotations

import os
import signal

import pytest

from internal.task.model import Reason
from internal.task.state import State
from tests.support.chaos_cli import quick_cli
from tests.support.chaos_site import Site
from tests.support.git_http import git_http_server
from tests.support.waiting import until

pytestmark = pytest.mark.chaos


async def test_promise_22_a_worker_that_stops_finishes_what_it_can(site: Site) -> None:
    """
    Within its grace the run ends as if nothing was; nothing new is begun; status 0.

    Also when it is told twice, as service managers do to the children of `up`.
    """
    worker = await site.start(WORKERS__CONCURRENCY="1", PARENT=str(os.getpid()))
    task = await site.submit("say begun\nsleep 1\nsay done")
    await site.until_said(task, "begun")
    queued = await site.submit("say done")

    worker.send(signal.SIGTERM)
    await until("it drains", lambda: "pool.draining" in worker.log())
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0

    found = await site.task(task)
    assert (found.status, found.attempt) == (State.COMPLETED, 1)
    waiting = await site.task(queued)
    assert (waiting.status, waiting.attempt) == (State.PENDING, 0)
    assert not await site.registered()
    await site.cancel(queued)
    await site.settle()


async def test_promise_22_fault_a3_what_runs_longer_than_the_grace_goes_on_elsewhere(
    site: Site,
) -> None:
    """It is handed back, which costs no life and counts as no repeat."""
    worker = await site.start(WORKERS__GRACE_SECONDS="0")
    task = await site.submit("say begun\nhang")
    await site.until_said(task, "begun")
    other = await site.start(CLI__DEMO__PATH=quick_cli(site.directory))

    worker.send(signal.SIGTERM)
    found = await site.finished(task)

    assert (found.status, found.lost, found.retries, found.attempt) == (State.COMPLETED, 0, 0, 2)
    assert await worker.ended() == 0
    assert not worker.agents()
    assert other.exit_status is None
    await site.settle()


async def test_a_cancel_ends_a_whole_tree_that_ignores_signals(site: Site) -> None:
    """Forks, daemons and all; the work up to then is kept, and no pull request is made of it."""
    worker = await site.start()
    task = await site.submit("write kept.txt: x\nignore-signals\nfork\ndaemon\nsay begun\nhang")
    await site.until_said(task, "begun")

    assert await site.cancel(task) is None
    found = await site.finished(task)

    assert found.failure is not None
    assert (found.status, found.failure.reason) == (State.FAILED, Reason.CANCELED)
    assert not worker.agents()
    assert b"kept.txt" in await site.patch(task)
    names = await site.names(task)
    assert names[-1] == "system/task_failed"
    assert names.count("system/task_cancelled") == 1
    await site.settle()


async def test_fault_a2_a_cancel_does_not_wait_for_a_clone(site: Site) -> None:
    """A remote that gives nothing does not keep the run; the next task may clone again."""
    with git_http_server(site.repo.path.parent) as remote:
        remote.packs_may_go.clear()
        await site.start(WORKERS__CONCURRENCY="1")
        url = remote.url(site.repo.path.name)
        task = await site.submit("say done", repo_url=url)
        await until("the clone has begun", lambda: any("upload" in r for r in remote.requests))

        assert await site.cancel(task) is None
        found = await site.finished(task)
        remote.packs_may_go.set()
        following = await site.finished(await site.submit("say done", repo_url=url))

    assert found.failure is not None
    assert (found.failure.reason, found.attempt) == (Reason.CANCELED, 1)
    assert "system/cli_started" not in await site.names(task)
    assert following.status is State.COMPLETED
    await site.settle()
