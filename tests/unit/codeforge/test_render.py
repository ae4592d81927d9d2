"""Events and documents as lines for people."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from codeforge import render
from codeforge.render_events import event_line

_SHORT = {
    "answer": "slow",
    "cause": "none",
    "runnable": 900,
    "oldest_seconds": 1000.25,
    "slots": 2,
    "homes": 3,
    "full_homes": 1,
    "memory_share": 0.96,
    "redis_memory_share": 0.91,
}
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
    What has which level and why; what new work gets, with the cause when something is short. A
    tenant's name between colons is no emoji.
    """
    text = io.StringIO()
    console = Console(file=text, width=200)

    render.escalation_line(
        console,
        {
            "scope": "repo:a:r-1",
            "level": "isolate",
            "reason": "slow_end",
            "signals": 32,
            "since": "2026-11-21T15:03:40.701Z",
            "repo_url": "https://git.example/o/r",
        },
    )
    for cause in ("none", "queue", "disk", "memory", "redis_memory"):
        render.pressure_line(console, {**_SHORT, "cause": cause})

    assert text.getvalue().splitlines() == [
        "repo:a:r-1  isolate  slow_end  32 signals  since 2026-11-21T15:03:40Z  https://git.example/o/r",
        "new work: slow  900 runnable  2 slots",
        "new work: slow  queue  oldest 1000 s  900 runnable  2 slots",
        "new work: slow  disk  1 of 3 homes full  900 runnable  2 slots",
        "new work: slow  memory  96 % used  900 runnable  2 slots",
        "new work: slow  redis_memory  91 % used  900 runnable  2 slots",
    ]


def test_a_breaker_is_not_taken_for_its_gate() -> None:
    """
    An open breaker is a gate that is shut, under one key: each list says what it lists.
    """
    text = io.StringIO()
    times = {"until": "2026-01-01T00:00:00Z", "why": "3 failures in a row"}
    key = "breaker:agent:demo"
    gate = {"key": key, "state": "shut", "waiting": 2, **times}
    breaker = {"key": key, "state": "open", "calls": 0, "failed": 0, "slow": 0, **times}
    lists: dict[str, Any] = {"gates": [gate], "breakers": [breaker], "budgets": []}
    lists |= {"escalations": [], "pressure": {**_SHORT, "answer": "accept"}}

    render.control_page(Console(file=text, width=200), lists)

    assert text.getvalue().splitlines() == [
        "gates",
        f"{key}  shut  2 waiting  until 2026-01-01T00:00:00Z  3 failures in a row",
        "breakers",
        f"{key}  open  until 2026-01-01T00:00:00Z  3 failures in a row",
        "new work: accept  900 runnable  2 slots",
    ]


@pytest.mark.parametrize(
    ("event", "data", "line"),
    [
        ("paused", {}, "  paused"),
        ("directive", {"text": "mind the tests"}, "  directive: mind the tests"),
        ("budget_warning", {"budget": "max_tokens", "used": 80, "limit": 100}, "max_tokens 80 of"),
        (
            "breaker_opened",
            {"breaker": "b:agent:x", "why": "its probe failed", "until": "2026-01-01T00:00:00.1Z"},
            "  breaker_opened: b:agent:x until 2026-01-01T00:00:00Z (its probe failed)",
        ),
        ("breaker_closed", {"breaker": "b:agent:x"}, "  breaker_closed: b:agent:x"),
    ],
)
def test_whoever_follows_sees_what_control_does(
    event: str, data: dict[str, Any], line: str
) -> None:
    """Also that what has nothing to add takes a line."""
    assert line.strip() in shown("control", event, **data)


def test_whoever_follows_sees_where_a_task_waits() -> None:
    """The gate is what an operator would release; without one, the reason alone."""
    gate = {"gate": "hold:agent:demo", "until": None}

    assert shown("system", "waiting", reason="breaker", **gate) == (
        "waiting: breaker at hold:agent:demo"
    )
    assert shown("system", "waiting", reason="retry", until="2026-01-01T00:00:00.5Z") == (
        "waiting: retry until 2026-01-01T00:00:00Z"
    )


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
