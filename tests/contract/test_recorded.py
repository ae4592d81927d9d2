"""
What the recorded runs mean, judged by hand: how each ended, and what it used.

The lines are in fixtures/; tests/agents/record.py says how each run was brought about.
"""

from __future__ import annotations

import pytest

from internal.agent.model import Ending, EventKind
from tests.support.real_claude import VERSIONS
from tests.support.recorded import Recording, recording, recordings

CLAUDE = "claude-code"
ENDINGS = {
    CLAUDE: {
        "denied": Ending.COMPLETED,
        "done": Ending.COMPLETED,
        "forbidden": Ending.AUTH_FAILED,
        "interrupted": Ending.FAILED,
        "max_budget": Ending.BUDGET_EXCEEDED,
        "max_turns": Ending.BUDGET_EXCEEDED,
        "no_credit": Ending.QUOTA_EXHAUSTED,
        "no_key": Ending.AUTH_FAILED,
        "overloaded": Ending.RATE_LIMITED,
        "rate_limited": Ending.RATE_LIMITED,
        "refused_as_root": Ending.FAILED,
        "resumed": Ending.COMPLETED,
        "server_error": Ending.FAILED,
        "session_unknown": Ending.SESSION_LOST,
        "stalled": Ending.FAILED,
        "terminated": Ending.FAILED,
        "tool_fails": Ending.COMPLETED,
        "two_results": Ending.COMPLETED,
        "unreachable": Ending.FAILED,
        "wrong_key": Ending.AUTH_FAILED,
    },
    "demo": {
        "done": Ending.COMPLETED,
        "exited": Ending.FAILED,
        "failed": Ending.FAILED,
        "garbage": Ending.COMPLETED,
        "interrupted": Ending.FAILED,
        "rate_limited": Ending.RATE_LIMITED,
        "resumed": Ending.COMPLETED,
        "session_unknown": Ending.SESSION_LOST,
        "silent": Ending.FAILED,
        "terminated": Ending.FAILED,
        "tool_fails": Ending.COMPLETED,
    },
}

every_version = pytest.mark.parametrize("version", VERSIONS)


@pytest.mark.parametrize("recording", recordings(), ids=str)
def test_each_recorded_run_ends_as_judged(recording: Recording) -> None:
    """A message says why, exactly when the run failed."""
    result = recording.replay().result

    assert result.ending is ENDINGS[recording.agent.name][recording.case]
    assert bool(result.message) == (result.ending is not Ending.COMPLETED)


@every_version
def test_a_run_is_told_step_by_step(version: str) -> None:
    """Thinking, text, tool calls and their results come in the order they happened."""
    events = recording(CLAUDE, version, "done").replay().flat()

    told = [(kind, data) for kind, data in events if kind != "system"]
    assert [kind for kind, _ in told] == [
        EventKind.THINKING,
        EventKind.TEXT,
        EventKind.TOOL_USE,
        EventKind.TOOL_RESULT,
        EventKind.TEXT,
        EventKind.RESULT,
        EventKind.USAGE,
    ]
    assert told[1][1] == {"text": "I will write it."}
    assert told[2][1]["name"] == "Bash"
    assert told[3][1] == {"id": told[2][1]["id"], "output": "hello", "is_error": False}
    assert told[5][1] == {"text": "all done", "is_error": False}


@every_version
def test_a_failing_tool_is_told_as_one(version: str) -> None:
    """The run goes on; the result of the call says what happened."""
    events = recording(CLAUDE, version, "tool_fails").replay().flat()

    (result,) = [data for kind, data in events if kind == EventKind.TOOL_RESULT]
    assert result["is_error"] is True
    assert "bad" in result["output"]


@every_version
@pytest.mark.parametrize(
    ("case", "tokens"),
    [
        ("done", (3000, 55, 330, 20)),
        ("resumed", (100, 10, 0, 0)),
        ("two_results", (300, 30, 0, 0)),
        ("max_budget", (100, 10, 0, 0)),
        ("max_turns", (200, 20, 0, 0)),
        ("wrong_key", (0, 0, 0, 0)),
    ],
)
def test_usage_is_what_this_run_used(
    version: str, case: str, tokens: tuple[int, int, int, int]
) -> None:
    """
    Not the sum of the session it resumed, not the last of several results, and no block twice.

    The scripted model says 100 and 10 per call where a case says nothing else.
    """
    usage = recording(CLAUDE, version, case).replay().result.usage

    assert tokens == (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_creation_tokens,
    )


def test_the_cost_of_a_resumed_run_is_its_own() -> None:
    """
    2.1.328 reports the sum of the session as `total_cost_usd`, here of two equal turns.

    2.1.197 reports the cost of the process.
    """
    newest = recording(CLAUDE, "2.1.328", "resumed").replay().result.usage
    older = recording(CLAUDE, "2.1.197", "resumed").replay().result.usage

    assert newest.cost_usd == pytest.approx(0.0006)
    assert older.cost_usd == pytest.approx(0.00075)


@every_version
def test_a_killed_run_keeps_what_it_used(version: str) -> None:
    """Without a result line the messages themselves are counted, each once."""
    usage = recording(CLAUDE, version, "terminated").replay().result.usage

    assert usage.input_tokens == 100
    assert usage.turns == 1


@every_version
def test_a_rate_limit_says_when_to_come_back(version: str) -> None:
    """The server's retry-after was 1 s; the CLI tells the delay that came of it."""
    result = recording(CLAUDE, version, "rate_limited").replay().result

    assert result.retry_after_seconds == pytest.approx(1, abs=0.5)
    assert result.detail == {"status": 429}


@every_version
@pytest.mark.parametrize("case", ["no_key", "wrong_key", "forbidden"])
def test_a_missing_credential_names_the_variables(version: str, case: str) -> None:
    """The person who reads it can do something about it."""
    message = recording(CLAUDE, version, case).replay().result.message

    for name in recording(CLAUDE, version, case).agent.credential_names:
        assert name in message


@every_version
def test_refused_tool_calls_are_told(version: str) -> None:
    """Such a run says success and exits with 0."""
    result = recording(CLAUDE, version, "denied").replay().result

    assert result.detail == {"permission_denials": 1}


@every_version
def test_an_api_failure_is_no_text_of_the_agent(version: str) -> None:
    """It comes as an assistant's message, but no model said it."""
    replay = recording(CLAUDE, version, "server_error").replay()

    errors = [data for kind, data in replay.flat() if kind == EventKind.ERROR]
    assert errors[0]["status"] == 500
    assert "500" in errors[-1]["message"]
    assert replay.result.text == ""


def test_a_run_without_a_result_line_tells_its_last_text() -> None:
    """What the agent said before it went away is kept."""
    result = recording("demo", "1", "exited").replay().result

    assert result.text == "I try"
    assert "status 3" in result.message
