"""A worker that dies, stands still or hangs: its tasks run elsewhere, and nothing of it counts."""

from __future__ import annotations

import signal

import pytest

from internal.task.model import Dedup, DedupPolicy, Reason
from internal.task.state import State
from tests.support.chaos_cli import quick_cli
from tests.support.chaos_process import WorkerProcess
from tests.support.chaos_site import Site
from tests.support.git_http import git_http_server
from tests.support.waiting import until

pytestmark = pytest.mark.chaos

_HANG = "say begun\nhang"


async def test_promise_3_fault_a1_a_killed_worker_costs_its_own_tasks_one_life_each(
    site: Site,
) -> None:
    """They run elsewhere; a neighbour's task does not notice; nothing of the dead claims stays."""
    dying = await site.start(WORKERS__CONCURRENCY="2")
    lost = [await site.submit(_HANG) for _ in range(2)]
    for task in lost:
        await site.until_said(task, "begun")
    neighbour = await site.start(WORKERS__CONCURRENCY="1")
    innocent = await site.submit(_HANG)
    await site.until_said(innocent, "begun")
    dead = {task: site.claims_on_disk(task) for task in lost}

    dying.kill()

    await until("nothing it started is left", lambda: not dying.agents())
    site.variables["CODEFORGE_CLI__DEMO__PATH"] = quick_cli(site.directory)
    await site.start()
    for task in lost:
        found = await site.finished(task)
        assert (found.status, found.lost, found.attempt) == (State.COMPLETED, 1, 2)
        assert (await site.names(task)).count("result/task_completed") == 1
    running = await site.task(innocent)
    assert (running.status, running.lost, running.attempt) == (State.RUNNING, 0, 1)
    await site.start()  # a worker that starts sweeps
    for task in lost:
        await _swept(site, task, dead[task])
    await site.cancel(innocent)
    await site.settle()
    assert neighbour.exit_status is None


async def test_weakness_2_a_newer_task_waits_for_the_end_of_a_dead_workers_lease(
    site: Site,
) -> None:
    """
    The worker of the older one dies before it hears of the cancel: until its lease is taken back,
    its agent may live, so the newer one does not start although a slot is free.
    """
    nightly = Dedup(key="nightly", policy=DedupPolicy.LATEST_WINS)
    dying = await site.start(WORKERS__CONCURRENCY="1")
    older = await site.submit(_HANG, dedup=nightly)
    await site.until_said(older, "begun")
    other = await site.start(WORKERS__CONCURRENCY="1")

    dying.send(signal.SIGSTOP)
    newer = await site.submit(_HANG, dedup=nightly)
    dying.kill()
    await site.until_said(newer, "begun")

    assert not dying.agents()
    ended = await site.task(older)
    assert ended.failure is not None
    assert (ended.failure.reason, ended.lost) == (Reason.CANCELED, 1)
    over = await _told_at(site, older, "task_failed")
    assert over <= await _told_at(site, newer, "state")
    assert (await site.task(newer)).attempt == 1
    assert other.exit_status is None
    await site.cancel(newer)
    await site.settle()


async def test_promise_2_a_worker_killed_while_it_clones_leaves_nothing_half(site: Site) -> None:
    """The next one makes the mirror and the tree anew; no file of the dead claim stays."""
    with git_http_server(site.repo.path.parent) as remote:
        remote.packs_may_go.clear()
        dying = await site.start()
        task = await site.submit("write mine.txt: x", repo_url=remote.url(site.repo.path.name))
        await until("the clone has begun", lambda: any("upload" in r for r in remote.requests))

        dying.kill()
        remote.packs_may_go.set()
        await site.start()
        found = await site.finished(task)

    assert (found.status, found.lost, found.attempt) == (State.COMPLETED, 1, 2)
    assert b"mine.txt" in await site.patch(task)
    assert (await site.names(task)).count("git/clone_completed") == 1
    await site.start()  # a worker that starts sweeps
    await until("the dead claim is swept", lambda: len(site.claims_on_disk(task)) == 1)
    await site.settle()


async def test_promise_8_a_stopped_workers_agent_freezes_and_nothing_of_it_counts(
    site: Site,
) -> None:
    """
    The shim acts by itself before the lease ends, so old and new run never write side by side; the
    worker that continues drops the run and goes on with others.
    """
    stopped = await site.start()
    task = await site.submit(_HANG)
    await site.until_said(task, "begun")
    zombie = site.claims_on_disk(task)

    stopped.send(signal.SIGSTOP)
    await until("its agent stands still", lambda: stopped.agent_states() == {"T"})
    assert (await site.task(task)).attempt == 1  # frozen before anybody else may run it
    other = await site.start(CLI__DEMO__PATH=quick_cli(site.directory))
    found = await site.finished(task)
    assert stopped.agent_states() == {"T"}
    stopped.send(signal.SIGCONT)

    await until("it ended its old run", lambda: not stopped.agents())
    assert (found.status, found.lost, found.attempt) == (State.COMPLETED, 1, 2)
    assert await site.task(task) == found
    assert (await site.names(task)).count("result/task_completed") == 1
    await until("the zombie's workspace is gone", lambda: not zombie & _trees(site, task))
    await _stop(other)
    following = await site.submit("say next")
    assert (await site.finished(following)).lost == 0
    assert stopped.exit_status is None
    await site.settle()


async def test_a_hung_worker_kills_itself_and_says_where_it_hung(site: Site) -> None:
    """Its heartbeat thread notices, writes all stacks, and the task runs elsewhere."""
    hung = await site.start(program="hang")
    task = await site.submit(_HANG)
    await site.until_said(task, "begun")

    hung.send(signal.SIGUSR1)
    assert await hung.ended() == -signal.SIGKILL
    await site.start(CLI__DEMO__PATH=quick_cli(site.directory))
    found = await site.finished(task)

    assert "worker.hung" in hung.log()
    assert "hang_for_ever" in hung.log()
    assert (found.status, found.lost, found.attempt) == (State.COMPLETED, 1, 2)
    assert not hung.agents()
    await site.settle()


async def _swept(site: Site, task: str, dead: set[str]) -> None:
    assert len(dead) == 1
    await until("the dead claim is swept", lambda: not dead & site.claims_on_disk(task))
    assert len(site.claims_on_disk(task)) == 1


def _trees(site: Site, task: str) -> set[str]:
    folder = site.layout().task(task)
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


async def _stop(worker: WorkerProcess) -> None:
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0


async def _told_at(site: Site, task: str, event: str) -> str:
    """When the first such event was written."""
    return next(str(found["ts"]) for found in await site.events(task) if found["event"] == event)
