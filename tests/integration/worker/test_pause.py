"""Pause and resume of what waits and of what runs, with real workers, agents and trees."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from internal.errors import Conflict
from internal.git.model import Snapshot
from internal.git.work import TrustedRepo
from internal.task.model import Claim, Reason, Task
from internal.task.queue import TaskQueue
from internal.task.state import State
from internal.worker.lease import Hold, Stop
from internal.worker.prepare import Preparer
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_site import TENANT, Site
from tests.support.waiting import until

_WORK = "append one.txt: 1\nsay begun\nsleep 2\nappend two.txt: 2\nsay done"
"""Paused while it sleeps, it has done the first two lines."""


async def test_a_running_task_is_paused_and_goes_on_in_its_session_and_tree(site: Site) -> None:
    """What it has done is kept, its slot is free, and what it has used counts once."""
    async with site.worker(WORKERS__CONCURRENCY="1"):
        task = await _begun(site)
        paused = await _pause(site, task)
        patch = await site.patch(task)
        other = await site.finished(await site.submit("say other"))
        found = await _resume(site, task)

    assert other.status is State.COMPLETED
    assert b"one.txt" in patch
    assert b"two.txt" not in patch
    assert paused.usage_total.output_tokens > 0
    assert (found.status, found.result) == (State.COMPLETED, "done")
    assert (found.lost, found.retries, found.iteration, found.attempt) == (0, 0, 1, 2)
    assert found.usage_total.output_tokens > paused.usage_total.output_tokens
    assert await site.said(task) == ["begun", "I remember 1 earlier prompt(s)", "done"]
    await _check_whole(site, task)
    names = await site.names(task)
    assert names.count("control/paused") == names.count("control/resumed") == 1
    assert names.count("result/task_completed") == 1
    await site.settle()


async def test_a_run_can_be_paused_again_and_again(site: Site) -> None:
    """Only the newest record counts; the others are swept."""
    async with site.worker():
        task = await _begun(site)
        for times in (2, 3):
            await _pause(site, task)
            await site.core.service.resume(TENANT, task)
            await site.until_said(task, "I remember 1 earlier prompt(s)", times=times - 1)
        found = await site.finished(task)

    assert (found.status, found.attempt) == (State.COMPLETED, 3)
    await _check_whole(site, task)
    await site.settle()


async def test_a_paused_task_goes_on_at_another_home_from_its_patch(site: Site) -> None:
    """The session stayed behind: the prompt tells that a part is done."""
    async with site.worker("a"):
        task = await _begun(site)
        await _pause(site, task)
    async with site.worker("b"):
        found = await _resume(site, task)

    assert found.status is State.COMPLETED
    assert any("earlier session" in text for text in await site.said(task))
    assert any("which you had begun" in text for text in await site.said(task))
    assert b"+1\n+1\n" in await site.patch(task)  # the demo agent did it again, on the file of then
    await site.settle()


async def test_a_lost_session_is_told_in_the_prompt(site: Site) -> None:
    """The tree is there, the conversation is not."""
    async with site.worker():
        task = await _begun(site)
        await _pause(site, task)
        shutil.rmtree(site.layout().sessions / TENANT / task)
        found = await _resume(site, task)

    assert found.status is State.COMPLETED
    assert any("which you had begun" in text for text in await site.said(task))
    await site.settle()


async def test_an_agent_that_names_no_session_goes_on_from_its_tree(site: Site) -> None:
    """What it had written is there, and the prompt says so."""
    result = '{"type":"result","text":"done"}'
    script = f"cat > prompt.txt; [ -f half ] && echo '{result}' && exit; touch half; echo; sleep 60"
    async with site.worker(CLI__DEMO__PATH=shell_cli(site.directory, script)):
        task = await site.submit("the whole prompt")
        await site.until_task(task, "runs", lambda found: found.status is State.RUNNING)
        await _written(site, task, "half")
        await _pause(site, task)
        found = await _resume(site, task)

    assert found.result == "done"
    assert b"which you had begun:\n+\n+the whole prompt" in await site.patch(task)
    await site.settle()


async def test_a_task_is_paused_while_it_is_prepared(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is recorded then, and its agent gets the prompt as it was given."""
    begun = asyncio.Event()
    with monkeypatch.context() as patch:

        async def prepare_for_ever(*_: object, **__: object) -> object:
            begun.set()
            return await asyncio.Event().wait()

        patch.setattr(Preparer, "prepare", prepare_for_ever)
        async with site.worker():
            task = await site.submit("append one.txt: 1\nsay done")
            await begun.wait()
            paused = await _pause(site, task)
    async with site.worker():
        found = await _resume(site, task)

    assert paused.iterations is not None
    assert paused.iterations[0].work is None
    assert (found.status, found.result) == (State.COMPLETED, "done")
    assert await site.said(task) == ["done"]
    await site.settle()


async def test_a_pause_while_the_end_is_recorded_comes_too_late(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end wins: the agent has done its work."""
    snapshot, heard = TrustedRepo.snapshot, list[Stop]()
    stop = Hold.stop

    def hear(hold: Hold, reason: Stop) -> None:
        heard.append(reason)
        stop(hold, reason)

    async def snapshot_late(repo: TrustedRepo, tree: Path, *, base: str, claim: str) -> Snapshot:
        await site.core.service.pause(TENANT, site.tasks[0])
        await until("the pause is heard", lambda: Stop.PAUSE in heard)
        return await snapshot(repo, tree, base=base, claim=claim)

    monkeypatch.setattr(Hold, "stop", hear)
    monkeypatch.setattr(TrustedRepo, "snapshot", snapshot_late)
    async with site.worker():
        task = await site.submit("append one.txt: 1\nsay done")
        found = await site.finished(task)

    assert (found.status, found.result) == (State.COMPLETED, "done")
    assert not found.pause_requested
    assert b"one.txt" in await site.patch(task)
    assert "control/paused" not in await site.names(task)
    with pytest.raises(Conflict):
        await site.core.service.pause(TENANT, task)
    await site.settle()


async def test_a_resumed_run_has_what_was_left_of_its_time(site: Site) -> None:
    """The pause itself costs nothing, however long it is."""
    async with site.worker():
        task = await _begun(site, "say begun\nsleep 600", timeout_seconds=3600)
        await _pause(site, task)
        key = site.core.keys.task(TENANT, task)
        ran = int(await site.core.redis.hget(key, "ran") or 0)
        await site.core.redis.hset(key, "ran", str(3_598_000))
        found = await _resume(site, task)

    assert 0 < ran < 60_000
    assert found.failure is not None
    assert found.failure.reason is Reason.TIMEOUT
    await site.settle()


async def test_a_worker_that_dies_while_pausing_leaves_a_paused_task(site: Site) -> None:
    """Nobody takes it before it is resumed; the loss costs a life as any other."""
    worker = await site.start("a")
    task = await _begun(site, "ignore-signals\nsay begun\nsleep 5\nsay done")
    async with site.worker("b"):
        is_paused = await site.core.service.pause(TENANT, task)
        worker.kill()
        paused = await site.until_task(task, "paused", lambda found: found.status is State.PAUSED)
        found = await _resume(site, task)

    assert not is_paused
    assert (paused.lost, paused.attempt) == (1, 1)
    assert (found.status, found.result, found.lost) == (State.COMPLETED, "done", 1)
    await site.settle()


async def test_a_paused_first_run_is_cancelled_with_its_work_kept(site: Site) -> None:
    """As a queued one: at once, without a worker."""
    async with site.worker():
        task = await _begun(site)
        await _pause(site, task)
    state = await site.cancel(task)
    found = await site.task(task)

    assert state is State.FAILED
    assert found.failure is not None
    assert found.failure.reason is Reason.CANCELED
    assert b"one.txt" in await site.patch(task)
    await site.settle()


async def test_a_cancel_while_it_is_paused_wins(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted before its worker has told the pause: it ends, with its work."""
    suspend = TaskQueue.suspend

    async def suspend_late(queue: TaskQueue, claim: Claim, *args: Any, **named: Any) -> None:
        await site.cancel(claim.task.id)
        await suspend(queue, claim, *args, **named)

    monkeypatch.setattr(TaskQueue, "suspend", suspend_late)
    async with site.worker():
        task = await _begun(site)
        await site.core.service.pause(TENANT, task)
        found = await site.finished(task)

    assert found.failure is not None
    assert found.failure.reason is Reason.CANCELED
    assert b"one.txt" in await site.patch(task)
    await site.settle()


async def _begun(site: Site, prompt: str = _WORK, **config: Any) -> str:
    task = await site.submit(prompt, **config)
    await site.until_said(task, "begun")
    return task


async def _pause(site: Site, task: str) -> Task:
    await site.core.service.pause(TENANT, task)
    return await site.until_task(task, "paused", lambda found: found.status is State.PAUSED)


async def _resume(site: Site, task: str) -> Task:
    await site.core.service.resume(TENANT, task)
    return await site.finished(task)


async def _written(site: Site, task: str, name: str) -> None:
    folder = site.layout().workspace_base / task
    await until(f"{name} is written", lambda: any(folder.glob(f"*/tree/{name}")))


async def _check_whole(site: Site, task: str) -> None:
    """Both lines are done, each once."""
    patch = await site.patch(task)
    assert patch.count(b"+1\n") == patch.count(b"+2\n") == 1
