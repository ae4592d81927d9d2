"""
What is said to the real Claude Code while it runs, in both versions we know, on a scripted model.

Only the newer one confirms what it hears; the older one is never spoken to.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

import pytest

from internal.agent import dialogue
from internal.agent.model import AgentEvent, Ending, EventKind
from internal.agent.run import AgentRun
from tests.support.agent_place import AgentPlace
from tests.support.fake_llm import FakeLlm, scripted
from tests.support.zoo import survivors

pytestmark = pytest.mark.agents

WORK = {"shell": "python3 -c 'import time; time.sleep(3)'"}
WAIT = {"shell": "python3 -c 'import time; time.sleep(120)'"}
DONE = {"text": "done"}
Act = Callable[[AgentRun, AgentEvent], Awaitable[None]]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine under load may take long for its first line."""
    monkeypatch.setattr(dialogue, "PATIENCE_SECONDS", 30.0)


def _confirms(claude: AgentPlace) -> bool:
    return "2.1.328" in str(claude.executable)


def _saying(runs: list[AgentRun], directive: str, *, at: EventKind) -> Act:
    async def say(run: AgentRun, event: AgentEvent) -> None:
        runs[:] = [run]
        if event.kind is at and not run.speech.heard:
            run.speech.say(directive, "And mind the tests")

    return say


async def test_a_directive_reaches_the_model_with_the_next_tool_result(
    claude: AgentPlace, llm: FakeLlm
) -> None:
    """In the same turn: one result, and the process ends by itself."""
    runs, directive = list[AgentRun](), str(uuid.uuid4())

    ended = await claude.run(
        scripted("Work", WORK, DONE),
        act=_saying(runs, directive, at=EventKind.TOOL_USE),
        takes_input=True,
    )

    assert (ended.result.ending, ended.result.text) == (Ending.COMPLETED, "done")
    assert runs[0].speech.was_open == _confirms(claude)
    assert runs[0].speech.heard == ((directive,) if _confirms(claude) else ())
    assert ("And mind the tests" in llm.calls[-1].body) == _confirms(claude)
    assert len(ended.told(EventKind.RESULT)) == 1


async def test_a_directive_behind_the_last_word_is_a_turn_of_its_own(
    claude: AgentPlace, llm: FakeLlm
) -> None:
    """Said while the answer came: it is heard, or it was not, and never half."""
    runs, directive = list[AgentRun](), str(uuid.uuid4())

    ended = await claude.run(
        scripted("Work", DONE),
        act=_saying(runs, directive, at=EventKind.TEXT),
        takes_input=True,
    )

    assert ended.result.ending is Ending.COMPLETED
    was_told = "And mind the tests" in llm.calls[-1].body
    assert was_told == (directive in runs[0].speech.heard)


async def test_it_ends_by_itself_when_nobody_says_anything(claude: AgentPlace) -> None:
    """An open stdin keeps no run alive."""
    ended = await claude.run(scripted("Work", {"shell": "true"}, DONE), takes_input=True)

    assert (ended.result.ending, ended.result.text) == (Ending.COMPLETED, "done")


async def test_an_interrupted_run_goes_on_in_its_session(claude: AgentPlace, llm: FakeLlm) -> None:
    """In the directory of another claim; nothing of the first run is left but what it said."""

    async def interrupt(run: AgentRun, event: AgentEvent) -> None:
        if event.kind is EventKind.TOOL_USE:
            await run.interrupt("pause")

    first = await claude.run(scripted("Work", WAIT, DONE), act=interrupt, takes_input=True)
    session = first.result.session_id
    assert session is not None
    assert first.result.ending is (Ending.FAILED if _confirms(claude) else Ending.STOPPED)
    assert survivors(claude.marker) == []

    moved = claude.move(session, to="second-claim")
    second = await moved.run(
        scripted("Go on", {"text": "I remember"}), session_id=session, takes_input=True
    )

    assert second.result.text == "I remember"
    assert llm.calls[-1].prompts >= 2


async def test_the_program_says_that_it_is_the_cli_itself(claude: AgentPlace) -> None:
    """What only speaks its lines does not."""
    probe = await claude.agent.probe(claude.executable, {"PATH": "/usr/bin:/bin"})

    assert probe.is_genuine
