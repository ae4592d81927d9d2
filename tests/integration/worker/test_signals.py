"""What a run shows of a sick agent: each signal from a real process, in the log and counted."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pytest

from internal.task.model import Reason, Task
from internal.task.state import State
from tests.support.chaos_site import Site

_PROGRAM = """#!{python} -IS
import json, sys
prompt = json.loads(sys.stdin.readline())["message"]["content"][0]["text"]

def say(**line):
    print(json.dumps(line), flush=True)

def act(block):
    say(type="assistant", message={{"content": [block]}})

act({{"type": "text", "text": "I begin."}})
for turn in range(int(prompt)):
    act({{"type": "tool_use", "id": str(turn), "name": "Bash", "input": {{"command": "ls"}}}})
if prompt == "-1":
    act({{"type": "tool_use", "id": "stuck", "name": "Bash", "input": {{}}}})
if prompt in ("1000", "-1"):
    import time
    time.sleep(600)
if prompt != "0":
    say(type="result", subtype="success", result="Done.")
"""


async def _warnings(site: Site, task: str) -> list[dict[str, object]]:
    events = await site.events(task)
    return [e["data"] for e in events if (e["type"], e["event"]) == ("control", "warning")]


async def _counted(site: Site) -> dict[str, int]:
    """Signals that Redis has counted, all of them."""
    key = site.core.keys.counters()
    counters = cast("dict[str, str]", await site.core.redis.hgetall(key))
    cut = "signals:"
    return {name.removeprefix(cut): int(n) for name, n in counters.items() if name.startswith(cut)}


async def _scopes(site: Site) -> set[str]:
    prefix = site.core.keys.signals("")
    found = cast("list[str]", await site.core.redis.keys(f"{prefix}*"))
    return {key.removeprefix(prefix) for key in found}


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "claude"
    path.write_text(_PROGRAM.format(python=sys.executable), encoding="utf-8")
    path.chmod(0o755)
    return str(path)


async def _run(site: Site, program: str, prompt: str) -> Task:
    task = await site.submit(prompt, cli="claude-code", ai_api_key="key-of-the-mock-0123456789")
    async with site.worker(CLI__CLAUDE_CODE__PATH=program, WORKERS__ISOLATION="none"):
        return await site.finished(task)


async def test_the_same_action_again_and_again_is_warned_of_and_ends_the_run(
    site: Site, program: str
) -> None:
    """At eight in a row the task is warned, at sixteen it fails; its work is kept."""
    found = await _run(site, program, "1000")

    assert found.status is State.FAILED
    assert found.failure is not None
    assert found.failure.reason is Reason.AGENT_FAILED
    detail = dict(found.failure.detail or {})
    assert (detail["tool"], detail["repeats"]) == ("Bash", 16)
    assert await _warnings(site, found.id) == [{"signal": "repeats", "tool": "Bash", "times": 8}]
    assert await _counted(site) == {"repeats": 1}
    assert {name.partition(":")[0] for name in await _scopes(site)} == {"agent", "repo", "worker"}
    await site.settle()


async def test_a_few_repeats_are_nothing(site: Site, program: str) -> None:
    """Seven in a row are no signal; a run without one costs no call."""
    found = await _run(site, program, "7")

    assert found.status is State.COMPLETED
    assert await _warnings(site, found.id) == []
    assert await _counted(site) == {}
    await site.settle()


async def test_an_end_without_a_result_line_is_a_signal(site: Site, program: str) -> None:
    """The run counts as done, as the contract has it; that nothing was said of it is told."""
    found = await _run(site, program, "0")

    assert found.status is State.COMPLETED
    assert await _warnings(site, found.id) == [{"signal": "no_result"}]
    assert await _counted(site) == {"no_result": 1}
    await site.settle()


async def test_what_outlives_its_agent_is_a_signal(site: Site) -> None:
    """A process that had to be killed after the agent's own end is counted, in a sandbox too."""
    task = await site.submit("daemon\nsay done")
    quiet = await site.submit("say done")
    async with site.worker():
        await site.finished(task)
        await site.finished(quiet)

    (told,) = await _warnings(site, task)
    assert told["signal"] == "survivors"
    assert int(str(told["processes"])) >= 1
    assert await _warnings(site, quiet) == []
    assert await _counted(site) == {"survivors": 1}
    await site.settle()


async def test_silence_is_a_signal_unless_its_client_wanted_less(site: Site) -> None:
    """A limit below the deployment's own is the client's choice: told, and not counted."""
    async with site.worker(TASKS__SILENCE_SECONDS="2"):
        long = await site.submit("say begun\nhang", silence_seconds=2)
        short = await site.submit("say begun\nhang", silence_seconds=1)
        await site.finished(long)
        await site.finished(short)

    assert await _warnings(site, long) == [{"signal": "silence", "seconds": 2}]
    assert await _warnings(site, short) == [{"signal": "silence", "seconds": 1}]
    assert await _counted(site) == {"silence": 1}
    await site.settle()


async def test_a_slow_end_is_a_signal(site: Site) -> None:
    """An agent that does not end when it is asked to is told of, whoever asked."""
    async with site.worker(CONTROL__ESCALATION__SLOW_END_SECONDS="1"):
        task = await site.submit("ignore-signals\nsay begun\nhang")
        await site.until_said(task, "begun")
        await site.cancel(task)
        found = await site.finished(task)

    assert found.failure is not None
    assert found.failure.reason is Reason.CANCELED
    (told,) = await _warnings(site, task)
    assert told["signal"] == "slow_end"
    assert float(str(told["seconds"])) > 1
    assert await _counted(site) == {"slow_end": 1}
    await site.settle()


async def test_a_dead_worker_is_a_signal_of_what_it_ran(site: Site) -> None:
    """REAP counts it for agent and repository; the name of a dead worker is nobody's."""
    process = await site.start()
    task = await site.submit("say begun\nhang")
    await site.until_said(task, "begun")

    process.kill()
    async with site.worker():
        await site.until_said(task, "begun", times=2)
        assert await _counted(site) == {"worker_lost": 1}
        names = {name.partition(":")[0] for name in await _scopes(site)}
        assert names == {"agent", "repo"}
        await site.cancel(task)
        await site.finished(task)
    await site.settle()


async def test_a_stuck_tool_is_a_signal_unless_its_client_wanted_less(
    site: Site, program: str
) -> None:
    """One call that takes longer than the deployment allows ends the run, and is counted."""
    how: dict[str, Any] = {"cli": "claude-code", "ai_api_key": "key-of-the-mock-0123456789"}
    variables = {"CLI__CLAUDE_CODE__PATH": program, "CONTROL__BUDGET__TOOL_SECONDS": "2"}
    async with site.worker(WORKERS__ISOLATION="none", **variables):
        long = await site.submit("-1", **how)
        short = await site.submit("-1", tool_seconds=1, **how)
        for task in (long, short):
            found = await site.finished(task)
            assert found.failure is not None
            assert found.failure.reason is Reason.BUDGET_EXCEEDED

    (told,) = await _warnings(site, long)
    assert (told["signal"], told["seconds"]) == ("stuck_tool", 2)
    (told,) = await _warnings(site, short)
    assert (told["signal"], told["seconds"]) == ("stuck_tool", 1)
    assert await _counted(site) == {"stuck_tool": 1}
    await site.settle()
