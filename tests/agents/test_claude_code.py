"""
The real Claude Code, both versions we know, against a scripted model on loopback.

tests/agents/install.sh installs them; what is not installed is skipped. `make test-agents` does
both.
"""

from __future__ import annotations

import os
import signal

import pytest

from internal.agent.model import AgentEvent, Ending, EventKind
from internal.agent.run import AgentRun
from tests.support.agent_place import AgentPlace
from tests.support.fake_llm import FakeLlm, scripted
from tests.support.zoo import survivors

pytestmark = pytest.mark.agents

WAIT = {"shell": "python3 -c 'import time; time.sleep(120)'"}
DONE = {"text": "done"}


async def test_a_prompt_becomes_a_file(claude: AgentPlace) -> None:
    """The whole way: prompt, tool call, file, final text, usage."""
    prompt = scripted("Create hello.txt", {"shell": "echo hello > hello.txt"}, {"text": "there"})

    ended = await claude.run(prompt)

    assert (claude.workspace / "hello.txt").read_text() == "hello\n"
    assert (ended.result.ending, ended.result.text) == (Ending.COMPLETED, "there")
    assert ended.told(EventKind.TOOL_USE)[0]["name"] == "Bash"
    assert (ended.result.usage.input_tokens, ended.result.usage.output_tokens) == (200, 20)
    assert ended.result.usage.cost_usd > 0


async def test_a_prompt_of_any_content_arrives_whole(claude: AgentPlace, llm: FakeLlm) -> None:
    """Quotes, newlines, dashes, 100 kB: it goes on stdin as JSON."""
    text = '--help "quoted" \\n é ' + "x" * 100_000 + "\nend of it"

    await claude.run(scripted(text, DONE))

    assert llm.calls[-1].prompt.startswith(text)


async def test_a_follow_up_resumes_in_the_directory_of_a_new_claim(
    claude: AgentPlace, llm: FakeLlm
) -> None:
    """On a copied home: the model sees the first turn, and only this run's usage is counted."""
    first = await claude.run(scripted("First", {"shell": "true"}, DONE))
    session = first.result.session_id
    assert session is not None

    moved = claude.move(session, to="second-claim")
    second = await moved.run(scripted("Second", {"text": "I remember"}), session_id=session)

    assert (second.result.ending, second.result.text) == (Ending.COMPLETED, "I remember")
    assert second.result.session_id == session
    assert llm.calls[-1].prompts == 2
    assert second.result.usage.input_tokens == 100
    assert second.result.usage.cost_usd < first.result.usage.cost_usd


async def test_a_run_that_was_ended_can_be_resumed(claude: AgentPlace, llm: FakeLlm) -> None:
    """Its session id was kept at first sight."""

    async def end(run: AgentRun, event: AgentEvent) -> None:
        if event.kind is EventKind.TOOL_USE:
            await run.process.end("timeout")

    first = await claude.run(scripted("First", WAIT, DONE), act=end)
    session = first.result.session_id
    assert first.result.ending is Ending.STOPPED
    assert session is not None

    moved = claude.move(session, to="second-claim")
    second = await moved.run(scripted("Second", {"text": "I remember"}), session_id=session)

    assert second.result.text == "I remember"
    assert llm.calls[-1].prompts == 2


async def test_an_unknown_session_is_told_apart(claude: AgentPlace) -> None:
    """The caller repeats the run with a rebuilt prompt."""
    session = "11111111-2222-4333-8444-555555555555"

    ended = await claude.run(scripted("Go on", DONE), session_id=session)

    assert ended.result.ending is Ending.SESSION_LOST


async def test_a_rate_limit_that_stays_is_handed_back(claude: AgentPlace) -> None:
    """With the server's delay; each retry was told on the way."""
    ended = await claude.run(scripted("Go", {"status": 429, "retry_after": 2}))

    assert ended.result.ending is Ending.RATE_LIMITED
    assert ended.result.retry_after_seconds == pytest.approx(2, abs=1)
    assert ended.told(EventKind.ERROR)[0]["status"] == 429


async def test_a_wrong_key_names_the_variables(claude: AgentPlace, llm: FakeLlm) -> None:
    """The task's key is the one that was tried."""
    claude.environment_names += ("ANTHROPIC_BASE_URL",)
    prompt = scripted("Go", {"status": 401, "message": "invalid x-api-key"})

    ended = await claude.run(prompt, api_key="sk-ant-of-the-task")

    assert llm.calls[-1].key == "sk-ant-of-the-task"
    assert ended.result.ending is Ending.AUTH_FAILED
    assert "ANTHROPIC_API_KEY" in ended.result.message


async def test_an_interrupt_ends_it_with_its_tools(claude: AgentPlace) -> None:
    """A command it runs has a session of its own, and goes too."""

    async def interrupt(run: AgentRun, event: AgentEvent) -> None:
        if event.kind is EventKind.TOOL_USE:
            await run.process.end("cancel")

    ended = await claude.run(scripted("Wait", WAIT, DONE), act=interrupt)

    assert ended.result.ending is Ending.STOPPED
    assert survivors(claude.marker) == []


async def test_a_signal_from_elsewhere_is_no_success(claude: AgentPlace) -> None:
    """It exits with 0 then."""

    async def interrupt(run: AgentRun, event: AgentEvent) -> None:
        if event.kind is EventKind.TOOL_USE:
            os.kill(run.process.pid, signal.SIGINT)

    ended = await claude.run(scripted("Wait", WAIT, DONE), act=interrupt)

    assert ended.result.ending is Ending.FAILED


async def test_a_stalled_model_is_noticed_by_its_silence(claude: AgentPlace) -> None:
    """
    The newest version gives up and says so; the older one waits.

    So the last word is ours: the time of the last output stands still, and the run can be ended.
    """
    claude.environment["CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS"] = "10000"

    async with claude.start(scripted("Go", {"text": "never", "hang": 600})) as run:
        events = run.events()
        first = await anext(events)
        silent_since = run.process.last_output_at
        await run.process.end("silence")
        rest = [event async for event in events]
        result = await run.result()

    assert first.kind is EventKind.SYSTEM
    assert silent_since <= run.process.last_output_at
    assert EventKind.TEXT not in {event.kind for event in rest}
    assert result.ending is Ending.STOPPED


async def test_what_it_keeps_lies_under_its_home(claude: AgentPlace) -> None:
    """And the workspace holds only the work."""
    await claude.run(scripted("Create a", {"shell": "touch a"}, DONE))

    assert [path.name for path in claude.workspace.iterdir()] == ["a"]
    assert {path.name for path in claude.home.iterdir()} <= {".claude", ".claude.json", ".cache"}
