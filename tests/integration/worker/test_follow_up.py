"""Runs that go on from earlier ones: here, elsewhere, and when something of them is gone."""

from __future__ import annotations

import shutil

from internal.task.model import Task
from internal.task.state import State
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_site import TENANT, Site

_FIRST = "append one.txt: 1\nsay first"


async def test_a_follow_up_goes_on_in_the_same_session_and_directory(site: Site) -> None:
    """The agent remembers, the tree is taken over as it was."""
    async with site.worker():
        task = await _finished(site, _FIRST)
        found = await _instruct(site, task, "read one.txt\nsay second")

    assert found.status is State.COMPLETED
    assert await site.said(task) == ["first", "I remember 1 earlier prompt(s)", "second"]
    assert await _modes(site, task) == ["checkout", "reused"]
    await site.settle()


async def test_fault_a10_b10_a_deleted_workspace_is_made_again_from_recorded_work(
    site: Site,
) -> None:
    """Workspaces live a day, recorded work and session as long as the task."""
    async with site.worker():
        task = await _finished(site, _FIRST)
        shutil.rmtree(site.layout().task(task))
        found = await _instruct(site, task, "read one.txt\nsay second")

    assert found.status is State.COMPLETED
    assert "I remember 1 earlier prompt(s)" in await site.said(task)
    assert await _tool_errors(site, task) == [False, False]
    assert await _modes(site, task) == ["checkout", "checkout"]
    await site.settle()


async def test_another_home_rebuilds_the_work_from_its_stored_patch(site: Site) -> None:
    """The session stayed behind, so the prompt tells what was said before."""
    async with site.worker("a"):
        task = await _finished(site, _FIRST)
    async with site.worker("b"):
        found = await _instruct(site, task, "say second")

    assert found.status is State.COMPLETED
    await _check_rebuilt(site, task)


async def test_a_lost_session_is_told_in_the_prompt(site: Site) -> None:
    """The files are there, the conversation is not."""
    async with site.worker():
        task = await _finished(site, _FIRST)
        shutil.rmtree(site.layout().sessions / TENANT / task)
        found = await _instruct(site, task, "say second")

    assert found.status is State.COMPLETED
    await _check_rebuilt(site, task)


async def test_a_session_that_the_agent_does_not_find_is_replaced_within_the_run(
    site: Site,
) -> None:
    """The agent says so itself; it is started again with a rebuilt prompt."""
    async with site.worker():
        task = await _finished(site, _FIRST)
        for file in (site.layout().sessions / TENANT / task).rglob("*.json"):
            file.write_text("no JSON")
        found = await _instruct(site, task, "say second")

    assert (found.status, found.attempt) == (State.COMPLETED, 1)
    assert any("earlier session" in text for text in await site.said(task))
    assert "system/warning" in await site.names(task)
    await site.settle()


async def test_a_retry_starts_from_the_work_before_its_iteration(site: Site) -> None:
    """What the failed run did is not there; what earlier iterations did is."""
    async with site.worker():
        task = await _finished(site, _FIRST)
        await _instruct(site, task, "write two.txt: 2\nfail no")
        await site.core.service.retry(TENANT, task)
        found = await site.finished(task)

    assert found.status is State.FAILED
    assert found.iteration == 2
    assert b"one.txt" in await site.patch(task)
    remembered = [text for text in await site.said(task) if text.startswith("I remember")]
    assert remembered == ["I remember 1 earlier prompt(s)"] * 2
    await site.settle()


async def test_an_instruction_after_a_failure_goes_on_from_the_newest_work(site: Site) -> None:
    """`failed` is not a grave: its work was kept."""
    async with site.worker():
        task = await _finished(site, "write one.txt: 1\nfail no")
        found = await _instruct(site, task, "read one.txt\nsay second")

    assert found.status is State.COMPLETED
    assert await _tool_errors(site, task) == [False, False]
    await site.settle()


async def test_work_too_big_for_redis_waits_for_its_home_then_starts_anew(site: Site) -> None:
    """`home_away` for a while, then from the base commit, and the log says what is lost."""
    site.variables["CODEFORGE_WORKERS__HOME_GRACE_SECONDS"] = "1"
    result = '{"type":"result","text":"done"}'
    agent = shell_cli(site.directory, f"head -c 3000000 /dev/urandom > big.bin; echo '{result}'")
    async with site.worker("a", CLI__DEMO__PATH=agent):
        task = await _finished(site, "anything")
    stored = await site.core.service.stored_diff(TENANT, task, 1)
    assert stored is not None
    assert stored.truncated
    async with site.worker("b"):
        await site.instruct(task, "read big.bin\nsay second")
        waiting = await site.until_task(task, "waits", lambda found: found.wait is not None)
        found = await site.finished(task)

    assert waiting.wait is not None
    assert waiting.wait.reason == "home_away"
    assert found.status is State.COMPLETED
    assert "system/workspace_lost" in await site.names(task)
    assert await _tool_errors(site, task) == [True]
    assert any("not available" in text for text in await site.said(task))
    await site.settle()


async def _finished(site: Site, prompt: str) -> str:
    task = await site.submit(prompt)
    await site.finished(task)
    return task


async def _instruct(site: Site, task: str, prompt: str) -> Task:
    await site.instruct(task, prompt)
    return await site.finished(task)


async def _check_rebuilt(site: Site, task: str) -> None:
    """The demo agent does again what the prompt tells of the first run: on the file of then."""
    assert any("earlier session" in text for text in await site.said(task))
    assert b"+1\n+1\n" in await site.patch(task)
    started = [e["data"] for e in await site.events(task) if e["event"] == "cli_started"]
    assert [data["resumed"] for data in started] == [False, False]
    await site.settle()


async def _modes(site: Site, task: str) -> list[str]:
    events = await site.events(task)
    return [event["data"]["mode"] for event in events if event["event"] == "clone_completed"]


async def _tool_errors(site: Site, task: str) -> list[bool]:
    events = await site.events(task)
    return [event["data"]["is_error"] for event in events if event["event"] == "tool_result"]
