"""Events and documents as lines for people."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from codeforge import render
from codeforge.render_events import event_line

URL = "https://git.example.com/o/r/pull/7"


def shown(type_: str, event: str, **data: Any) -> str:
    text = io.StringIO()
    event_line(Console(file=text), {"type": type_, "event": event, "data": data})
    return text.getvalue().strip()


@pytest.mark.parametrize(
    ("updated", "line"), [(False, f"✓ opened {URL}"), (True, f"✓ updated {URL}")]
)
def test_whoever_follows_sees_the_pull_request(updated: bool, line: str) -> None:
    """
    Its address is what they wait for.
    """
    assert shown("git", "pr_created", pr_url=URL, pr_number=7, updated=updated) == line


def test_whoever_follows_sees_why_there_is_no_pull_request() -> None:
    """
    In the words of the task, without what a terminal would obey.
    """
    line = shown("git", "pr_failed", error="the host said no\x1b[2J", reason="provider_error")

    assert line == "✗ no pull request: the host said no�[2J"


def test_a_warning_says_what_is_wrong() -> None:
    """
    Its message where there is one, else its reason.
    """
    assert shown("system", "warning", reason="clone_failed", message="no such host") == (
        "warning: no such host"
    )
    assert shown("system", "warning", reason="session_lost") == "warning: session_lost"


def test_an_endpoint_that_is_off_says_so_and_why() -> None:
    """
    `operator` alone would not tell that nothing is sent.
    """
    text = io.StringIO()
    endpoint: dict[str, Any] = {
        "id": "e1",
        "url": URL,
        "events": [],
        "enabled": False,
        "disabled_reason": "gone",
    }

    render.endpoint_line(Console(file=text), endpoint)

    assert "off (gone)" in text.getvalue()


def test_what_the_watchdog_says_is_shown() -> None:
    """
    A signal by its name, a level with what has it.
    """
    assert shown("control", "warning", signal="repeats", times=8) == "warning: repeats"
    assert shown("control", "escalation", scope="agent:demo", level="warn", reason="silence") == (
        "escalation: agent:demo warn (silence)"
    )


def test_levels_and_pressure_take_a_line_each() -> None:
    """
    What has which level and why; what new work gets, with the cause when something is short.
    """
    text = io.StringIO()
    console = Console(file=text, width=200)

    render.escalation_line(
        console,
        {
            "scope": "worker:w",
            "level": "isolate",
            "reason": "slow_end",
            "signals": 32,
            "since": "2026-11-21T15:03:40.701Z",
        },
    )
    render.pressure_line(console, {"answer": "slow", "cause": "queue", "runnable": 900, "slots": 2})

    assert text.getvalue().splitlines() == [
        "worker:w  isolate  slow_end  32 signals  since 2026-11-21T15:03:40Z",
        "new work: slow  queue  900 runnable  2 slots",
    ]


@pytest.mark.parametrize(
    ("event", "data", "line"),
    [
        ("paused", {}, "  paused"),
        ("directive", {"text": "mind the tests"}, "  directive: mind the tests"),
        ("budget_warning", {"budget": "max_tokens", "used": 80, "limit": 100}, "max_tokens 80 of"),
        ("breaker_opened", {"breaker": "breaker:agent:demo"}, "breaker:agent:demo"),
    ],
)
def test_whoever_follows_sees_what_control_does(
    event: str, data: dict[str, Any], line: str
) -> None:
    """Also that what has nothing to add takes a line."""
    assert line.strip() in shown("control", event, **data)


def test_a_task_that_waits_says_where_and_until_when() -> None:
    """The gate is what an operator would release."""
    text = io.StringIO()
    wait = {"reason": "breaker", "until": "2026-01-01T00:00:00Z", "gate": "breaker:agent:demo"}
    usage = {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0, "duration_seconds": 0.0}
    task = {
        "id": "1",
        "status": "pending",
        "repo_url": "r",
        "prompt": "p",
        "iteration": 1,
        "usage_total": usage,
        "created_at": "2026-01-01T00:00:00Z",
        "wait": wait,
        "attempt": 2,
    }

    render.task_page(Console(file=text), task)

    assert "waits for  breaker at breaker:agent:demo until 2026-01-01T00:00:00Z" in text.getvalue()
    assert "attempt  2" in text.getvalue()
