"""One claim from its task to its reported end, in a worker on real Redis, git and processes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from internal.agent.demo import Demo
from internal.agent.model import AgentRequest, Launch
from internal.errors import Unavailable
from internal.git.model import Snapshot
from internal.git.work import TrustedRepo
from internal.redact import KNOWN
from internal.task.model import Claim, Reason, Task
from internal.task.queue import TaskQueue
from internal.task.state import State
from internal.worker import endings
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_site import Site

_KEPT = "write kept.txt: x\nsay written"


async def test_a_task_runs_to_its_end_and_leaves_its_work(site: Site) -> None:
    """The file it wrote is in the diff, the run ends with one final event."""
    async with site.worker():
        task = await site.submit("write hello.txt: hello\nsay done")

        found = await site.finished(task)

    assert found.status is State.COMPLETED
    assert found.result == "done"
    assert found.changes is not None
    assert found.changes.files_created == 1
    assert (await site.names(task))[-1] == "result/task_completed"
    await site.settle()


async def test_the_log_of_a_worker_tells_which_runs_it_had(site: Site) -> None:
    """That each began and how it ended; what its message is belongs to the client alone."""
    with capture_logs() as logs:
        async with site.worker():
            for prompt in ("say done", "fail: with a secret in it"):
                await site.finished(await site.submit(prompt))
        await site.settle()

    runs = [line for line in logs if line["event"].startswith("run.")]
    assert [line["event"] for line in runs] == ["run.started", "run.ended"] * 2
    assert [line.get("result") for line in runs] == [None, "completed", None, "failed"]
    assert runs[-1]["reason"] == "agent_failed"
    assert "secret" not in str(runs)


@pytest.mark.parametrize(
    ("limits", "reason", "kind"),
    [
        ({"timeout_seconds": 2}, Reason.TIMEOUT, "total"),
        ({"silence_seconds": 1}, Reason.IDLE_TIMEOUT, "silence"),
    ],
)
async def test_promise_12_a_limit_ends_a_run_and_keeps_what_it_did(
    site: Site, limits: dict[str, Any], reason: Reason, kind: str
) -> None:
    """Its output, usage and work are recorded, the failure names the limit."""
    async with site.worker():
        task = await site.submit(f"{_KEPT}\nhang", **limits)

        found = await site.finished(task)

    assert _reason(found) is reason
    assert found.failure is not None
    assert "timed out" in found.failure.message
    assert await site.said(task) == ["written"]
    assert found.usage.input_tokens > 0
    assert b"kept.txt" in await site.patch(task)
    told = [event["data"] for event in await site.events(task) if event["event"] == "task_timeout"]
    assert told == [{"timeout_seconds": next(iter(limits.values())), "kind": kind}]
    await site.settle()


async def test_a_failed_agent_leaves_its_work_and_the_end_of_its_log(site: Site) -> None:
    """`detail.log_tail` is what it wrote to stderr last."""
    agent = shell_cli(site.directory, "echo x > kept.txt; echo the reason >&2; exit 3")
    async with site.worker(CLI__DEMO__PATH=agent):
        task = await site.submit("anything")

        found = await site.finished(task)

    assert _reason(found) is Reason.AGENT_FAILED
    assert found.failure is not None
    assert found.failure.detail is not None
    assert "the reason" in found.failure.detail["log_tail"]
    assert b"kept.txt" in await site.patch(task)
    await site.settle()


async def test_a_missing_agent_fails_its_task_alone(site: Site) -> None:
    """`agent_missing`, at once, never repeated by itself."""
    async with site.worker(CLI__DEMO__PATH="/nowhere/demo"):
        task = await site.submit("say done")

        found = await site.finished(task)

    assert _reason(found) is Reason.AGENT_MISSING
    assert found.attempt == 1
    await site.settle()


@pytest.mark.parametrize("kind", [RuntimeError, Unavailable])
async def test_an_error_that_holds_a_secret_of_the_run_is_told_without_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    """Libraries repeat what they were given: the log takes it out, and so does the document."""
    secret = "canary-5d1e7b9f"  # noqa: S105 -- nothing is behind it

    def launch(agent: Demo, request: AgentRequest) -> Launch:
        raise kind(f"not with {secret}")

    def is_known(_: object, __: str, line: EventDict) -> EventDict:
        return {**line, "is_known": KNOWN.redact(secret) != secret}

    monkeypatch.setattr(Demo, "launch", launch)
    async with site.worker():
        with capture_logs(processors=[is_known]) as logs:
            task = await site.submit("say done", ai_api_key=secret)
            found = await site.finished(task)

    assert found.failure is not None
    assert secret not in f"{found.failure} {await site.events(task)}"
    assert all(line["is_known"] for line in logs if line["event"] == "run.failed")
    await site.settle()


async def test_fault_a22_a_bug_in_a_driver_costs_its_own_run_only(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`internal_error` without the bug's words; its neighbour and the worker go on."""
    sound = Demo.launch

    def launch(agent: Demo, request: AgentRequest) -> Launch:
        if request.prompt == "panic":
            raise ZeroDivisionError("hunter22")
        return sound(agent, request)

    monkeypatch.setattr(Demo, "launch", launch)
    async with site.worker():
        broken = await site.finished(await site.submit("panic"))
        sane = await site.finished(await site.submit("say done"))

    assert (_reason(broken), _reason(sane)) == (Reason.INTERNAL_ERROR, None)
    assert broken.failure is not None
    assert "hunter22" not in broken.failure.message
    await site.settle()


async def test_an_agent_that_ruins_its_own_tree_fails_with_what_it_said(site: Site) -> None:
    """
    There is nothing to record, and its result and usage count all the same. In a sandbox it could
    only have emptied it.
    """
    usage = '{"type":"usage","input_tokens":7,"output_tokens":1}'
    result = '{"type":"result","text":"ruined"}'
    agent = shell_cli(site.directory, f"rm -rf \"$PWD\"; echo '{usage}'; echo '{result}'")
    async with site.worker(CLI__DEMO__PATH=agent, WORKERS__ISOLATION="none"):
        task = await site.submit("anything")

        found = await site.finished(task)

    assert _reason(found) is Reason.INTERNAL_ERROR
    assert found.result == "ruined"
    assert found.usage.input_tokens == 7
    await site.settle()


async def test_a_rate_limited_run_repeats_by_itself_later(site: Site) -> None:
    """It waits with the reason `retry`, which takes no life."""
    async with site.worker():
        task = await site.submit("say I begin\nfail rate_limited slow down")

        waiting = await site.until_task(task, "waits", lambda found: found.wait is not None)

        assert waiting.wait is not None
        assert (waiting.wait.reason, waiting.retries, waiting.lost) == ("retry", 1, 0)
        assert "system/warning" in await site.names(task)
        assert waiting.usage_total.output_tokens > 0  # paid for, although nothing of it is kept
        await site.cancel(task)
    await site.settle()


async def test_a_cancel_while_the_end_is_reported_wins(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted before the finish was written: the run is canceled, with its result and work."""
    finish = TaskQueue.finish

    async def finish_too_late(queue: TaskQueue, claim: Claim, *rest: Any) -> State:
        if not (await site.task(claim.task.id)).cancel_requested:
            await site.cancel(claim.task.id)
        return await finish(queue, claim, *rest)

    monkeypatch.setattr(TaskQueue, "finish", finish_too_late)
    async with site.worker():
        task = await site.submit(f"{_KEPT}\nsay done")

        found = await site.finished(task)

    assert _reason(found) is Reason.CANCELED
    assert found.result == "done"
    assert b"kept.txt" in await site.patch(task)
    assert (await site.names(task)).count("system/task_cancelled") == 1
    await site.settle()


async def test_a_cancel_while_a_run_is_handed_back_wins(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not repeat, and what it has used counts once."""
    hand_back = TaskQueue.hand_back

    async def hand_back_too_late(queue: TaskQueue, claim: Claim, *args: Any, **named: Any) -> None:
        await site.cancel(claim.task.id)
        await hand_back(queue, claim, *args, **named)

    monkeypatch.setattr(TaskQueue, "hand_back", hand_back_too_late)
    async with site.worker():
        task = await site.submit("say I begin\nfail rate_limited slow down")

        found = await site.finished(task)

    assert _reason(found) is Reason.CANCELED
    assert found.usage.output_tokens > 0
    assert found.usage_total.output_tokens == found.usage.output_tokens
    await site.settle()


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Recording never ends, and has a tenth of a second at its limits; set once it has begun."""
    begun = asyncio.Event()

    async def snapshot(*_: object, **__: object) -> Snapshot:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(TrustedRepo, "snapshot", snapshot)
    monkeypatch.setattr(endings, "_RECORD_SECONDS", 0.1)
    monkeypatch.setattr(endings, "_RECORD_GRACE_SECONDS", 0.1)
    return begun


async def test_a_cancel_ends_a_recording_that_does_not(
    site: Site, slow_disk: asyncio.Event
) -> None:
    """The run is canceled, with what its agent said and without new work."""
    async with site.worker():
        task = await site.submit(f"{_KEPT}\nsay done")
        await asyncio.wait_for(slow_disk.wait(), 60)
        await site.cancel(task)

        found = await site.finished(task)

    assert _reason(found) is Reason.CANCELED
    assert found.result == "done"
    assert found.usage.output_tokens > 0
    assert found.changes is None
    await site.settle()


async def test_the_total_limit_ends_a_recording_that_does_not(
    site: Site, slow_disk: asyncio.Event
) -> None:
    """A run is over some time after its limit, whatever its disk does."""
    async with site.worker():
        task = await site.submit("say done", timeout_seconds=4)

        found = await site.finished(task)

    assert slow_disk.is_set()
    assert _reason(found) is Reason.TIMEOUT
    assert found.changes is None
    await site.settle()


async def test_a_flood_of_output_ends_as_any_other_run(site: Site) -> None:
    """What is too much is left out, and the log says so."""
    async with site.worker():
        task = await site.submit("flood 30 MiB\nline 5 MB\nsay done")

        found = await site.finished(task)

    assert (found.status, found.result) == (State.COMPLETED, "done")
    assert (await site.names(task)).count("stream/truncated") == 1
    await site.settle()


def _reason(task: Task) -> Reason | None:
    return task.failure.reason if task.failure else None
