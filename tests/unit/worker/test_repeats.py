"""The same action again and again."""

from __future__ import annotations

from typing import Any

from internal.agent.model import AgentEvent, EventKind
from internal.worker.repeats import Repeats


def _ignore(tool: str, times: int) -> None:
    del tool, times


def _call(name: str = "Bash", **given: Any) -> AgentEvent:
    return AgentEvent(kind=EventKind.TOOL_USE, data={"id": "x", "name": name, "input": given})


async def test_a_row_of_identical_calls_is_warned_of_and_then_ends_the_run() -> None:
    """Once at the number, and the end at twice the number."""
    warned: list[tuple[str, int]] = []
    repeats = Repeats(3, lambda tool, times: warned.append((tool, times)))

    for _ in range(5):
        repeats.see(_call(command="ls"))
        repeats.see(AgentEvent(kind=EventKind.TOOL_RESULT, data={"id": "x", "output": "a"}))
    assert not repeats.reached.done()
    repeats.see(_call(command="ls"))

    assert warned == [("Bash", 3)]
    assert repeats.reached.result() == ("Bash", 6)


async def test_another_input_begins_a_new_row() -> None:
    """Also one that differs only at the end of megabytes."""
    repeats = Repeats(2, _ignore)
    long = "x" * 5_000_000

    for turn in range(20):
        repeats.see(_call(command=f"{long}{turn % 2}"))

    assert not repeats.reached.done()


async def test_what_an_agent_may_print_is_no_error() -> None:
    """A name that is no text, an input that is none, half a surrogate pair."""
    repeats = Repeats(1, _ignore)

    for data in ({}, {"name": None, "input": "\ud800"}, {"name": ["x"], "input": float("nan")}):
        repeats.see(AgentEvent(kind=EventKind.TOOL_USE, data=dict(data)))

    assert not repeats.reached.done()


async def test_zero_counts_nothing() -> None:
    """An operator can switch it off."""
    repeats = Repeats(0, _ignore)

    for _ in range(1000):
        repeats.see(_call())

    assert not repeats.reached.done()
