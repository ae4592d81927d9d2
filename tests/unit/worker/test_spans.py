"""Spans of an agent's tools: exact about time, silent about what was said."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from internal.agent.model import AgentEvent, EventKind
from internal.redact import Redactor
from internal.telemetry.tracing import span
from internal.worker.spans import tool_spans
from tests.support.notebook import Notebook, noting

SECRET = "hunter22-hunter22"  # noqa: S105 -- made up


@pytest.fixture
def notebook() -> Generator[Notebook]:
    with noting() as made:
        yield made


def use(call: object, name: object = "Bash") -> AgentEvent:
    data = {"id": call, "name": name, "input": {"command": "words of the input"}}
    return AgentEvent(kind=EventKind.TOOL_USE, data=data)


def result(call: object, *, is_error: bool = False) -> AgentEvent:
    data = {"id": call, "output": "words of the output", "is_error": is_error}
    return AgentEvent(kind=EventKind.TOOL_RESULT, data=data)


def observe(*events: AgentEvent) -> None:
    with span("agent"), tool_spans(Redactor([SECRET]).redact) as see:
        assert see is not None
        for event in events:
            see(event)


def test_tools_that_run_at_once_are_told_apart(notebook: Notebook) -> None:
    """By their call; each hangs on the agent, and one that failed is a failed span."""
    observe(use("1", "Read"), use("2", "Bash"), result("2", is_error=True), result("1"))

    agent, read, bash = notebook.spans
    assert (read.name, bash.name) == ("execute_tool Read", "execute_tool Bash")
    assert read.parent == bash.parent == agent.place
    assert (read.failure, bash.failure) == (None, ("tool_error", ""))
    assert read.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "Read",
        "gen_ai.tool.call.id": "1",
    }


def test_what_has_no_result_ends_with_the_run(notebook: Notebook) -> None:
    """It was ended, or its result was lost; nothing stays open."""
    observe(use("1"), use("1"), result("unknown"))

    _, only = notebook.spans
    assert only.ended
    assert only.failure == ("unfinished", "")


def test_an_agent_cannot_say_through_names_what_must_not_be_said(notebook: Notebook) -> None:
    """It chooses names and calls; secrets are taken out of both, and both are cut."""
    observe(use(SECRET, f"x {SECRET}"), use("2", "y" * 10_000), use("3", {"no": "text"}))

    _, first, second, third = notebook.spans
    assert first.name == "execute_tool x ***"
    assert first.attributes["gen_ai.tool.call.id"] == "***"
    assert second.name == f"execute_tool {'y' * 64}"
    assert third.name == "execute_tool unknown"
    assert "words of" not in str(notebook.spans)


def test_a_flood_of_tools_is_cut(notebook: Notebook) -> None:
    """The first thousand have a span."""
    observe(*(event for call in range(1200) for event in (use(str(call)), result(str(call)))))

    assert len(notebook.spans) == 1001


@pytest.mark.parametrize("call", [None, "", 7, ["x"], "x" * 257])
def test_a_call_without_a_name_has_no_span(notebook: Notebook, call: object) -> None:
    """Its end could not be told."""
    observe(use(call), result(call))

    assert [entry.name for entry in notebook.spans] == ["agent"]


def test_without_tracing_nobody_looks() -> None:
    """An agent's output costs what it costs without."""
    with tool_spans(str) as see:
        assert see is None
