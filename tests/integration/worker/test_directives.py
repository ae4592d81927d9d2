"""Directives on their way from the API to a running agent, and what becomes of the others."""

from __future__ import annotations

from typing import Any

import pytest

from internal.agent import dialogue
from internal.task.model import Task
from internal.task.service import Directed
from internal.task.state import State
from tests.support.chaos_site import TENANT, Site
from tests.support.talking_claude import looking_claude, talking_claude
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("patience")


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine under load may take long for its first line."""
    monkeypatch.setattr(dialogue, "PATIENCE_SECONDS", 20.0)


async def _listening(site: Site, prompt: str, **how: Any) -> str:
    """A task whose agent takes input now."""
    task = await site.submit(prompt, cli="claude-code", **how)
    key = site.core.keys.task(TENANT, task)

    async def listens() -> bool:
        return bool(await site.core.redis.hexists(key, "listens"))

    await until("the agent listens", listens)
    return task


async def _direct(site: Site, task: str, text: str) -> Directed:
    return await site.core.service.direct(TENANT, task, text)


async def _told(site: Site, task: str) -> list[dict[str, Any]]:
    return [e["data"] for e in await site.events(task) if e["event"] == "directive"]


async def test_a_directive_reaches_the_agent_that_runs(site: Site) -> None:
    """Said, confirmed, and over: the run ends as one, with the words in its log."""
    async with site.worker(CLI__CLAUDE_CODE__PATH=talking_claude(site.directory)):
        task = await _listening(site, "WAIT")
        taken = await _direct(site, task, "mind the tests")
        found = await site.finished(task)

    assert (taken.delivery, taken.status) == ("running", State.RUNNING)
    assert (found.status, found.result, found.iteration) == (State.COMPLETED, "done WAIT", 1)
    assert await site.said(task) == ["begun WAIT", "heard mind the tests"]
    assert await _told(site, task) == [
        {"id": taken.directive, "delivery": "running"},
        {"id": taken.directive, "delivery": "delivered", "text": "mind the tests"},
    ]
    await site.settle()


async def test_a_directive_with_a_secret_of_the_run_is_told_without_it(site: Site) -> None:
    """The agent gets it whole; the log does not."""
    secret = "canary-5d1e7b9f"  # noqa: S105 -- nothing is behind it
    async with site.worker(CLI__CLAUDE_CODE__PATH=talking_claude(site.directory)):
        task = await _listening(site, "WAIT", ai_api_key=secret)
        await _direct(site, task, f"use {secret}")
        await site.finished(task)

    assert secret not in str(await site.events(task))
    assert (await _told(site, task))[1]["text"] != ""
    await site.settle()


@pytest.mark.parametrize("prompt", ["DEAF", "LEAVE"])
async def test_what_an_agent_did_not_confirm_becomes_the_next_instruction(
    site: Site, prompt: str
) -> None:
    """It ended first, or ended because of it; the next run gets it as its prompt."""
    async with site.worker(CLI__CLAUDE_CODE__PATH=talking_claude(site.directory)):
        task = await _listening(site, prompt)
        taken = await _direct(site, task, "mind the tests")
        found = await _iteration(site, task, 2)

    assert taken.delivery == "running"
    assert (found.status, found.result) == (State.COMPLETED, "done mind the tests")
    assert [data["delivery"] for data in await _told(site, task)] == ["running", "next"]
    await site.settle()


async def test_a_directive_to_a_cli_that_takes_none_is_the_next_instruction(site: Site) -> None:
    """The answer says so."""
    async with site.worker():
        task = await site.submit("say begun\nsleep 1\nsay first")
        await site.until_said(task, "begun")
        taken = await _direct(site, task, "say second")
        found = await _iteration(site, task, 2)

    assert taken.delivery == "next"
    assert (found.status, found.result) == (State.COMPLETED, "second")
    await site.settle()


async def test_a_directive_of_a_killed_worker_is_told_by_the_next_one(site: Site) -> None:
    """Confirmed or not: the session that heard it is lost with its worker."""
    program = talking_claude(site.directory)
    worker = await site.start("a", CLI__CLAUDE_CODE__PATH=program)
    task = await _listening(site, "WAIT")
    await site.until_said(task, "begun WAIT")
    worker.kill()
    taken = await _direct(site, task, "mind the tests")
    async with site.worker("b", CLI__CLAUDE_CODE__PATH=program):
        found = await site.finished(task)

    assert taken.delivery == "running"
    assert (found.status, found.iteration, found.lost) == (State.COMPLETED, 1, 1)
    assert (await site.said(task)).count("heard mind the tests") == 1
    await site.settle()


async def test_an_agent_that_takes_input_is_paused_by_a_word(site: Site) -> None:
    """No signal: it stops where it is, and its session goes on."""
    async with site.worker(CLI__CLAUDE_CODE__PATH=talking_claude(site.directory)):
        task = await _listening(site, "WAIT")
        await site.core.service.pause(TENANT, task)
        await site.until_task(task, "paused", lambda found: found.status is State.PAUSED)
        waited = await _direct(site, task, "mind the tests")
        await site.core.service.resume(TENANT, task)
        found = await _iteration(site, task, 2)

    assert waited.delivery == "next"
    assert found.result == "done mind the tests"
    started = [e["data"] for e in await site.events(task) if e["event"] == "cli_started"]
    assert [data["resumed"] for data in started] == [False, True, True]
    assert (await site.said(task))[1].startswith("begun Go on")
    await site.settle()


async def test_a_program_that_reads_its_stdin_to_the_end_is_not_kept_waiting(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says it is Claude Code and does not act so: waited for once, then no more."""
    monkeypatch.setattr(dialogue, "PATIENCE_SECONDS", 0.5)
    async with site.worker(CLI__CLAUDE_CODE__PATH=looking_claude(site.directory)):
        first = await site.finished(await site.submit("first", cli="claude-code"))
        monkeypatch.setattr(dialogue, "PATIENCE_SECONDS", 600.0)
        second = await site.finished(await site.submit("second", cli="claude-code"))

    assert (first.result, second.result) == ("done first", "done second")
    await site.settle()


async def _iteration(site: Site, task: str, number: int) -> Task:
    """The task, once that iteration has ended."""

    def has_ended(found: Task) -> bool:
        return found.iteration == number and found.finished_at is not None

    return await site.until_task(task, f"iteration {number} has ended", has_ended)
