"""What the agent is told."""

from __future__ import annotations

from dataclasses import replace

from internal.task.model import (
    Failure,
    Iteration,
    Reason,
    Task,
)
from internal.task.state import State
from internal.worker.prompt import BUDGET_CHARS, prompt_of, rebuilt_prompt
from tests.support.a_task import a_task


def test_a_prompt_is_the_users_text_and_nothing_else() -> None:
    """Of the current iteration."""
    assert prompt_of(_task()) == "first"
    assert prompt_of(replace(_task(), iteration=2, current_prompt="second")) == "second"


def test_a_rebuilt_prompt_of_a_first_iteration_is_the_prompt() -> None:
    """There is nothing to tell."""
    assert rebuilt_prompt(replace(_task(), iterations=())) == "first"


def test_a_rebuilt_prompt_tells_what_was_said_before_in_order() -> None:
    """And says that it is rebuilt, and whether the files are gone, too."""
    failure = Failure(reason=Reason.TIMEOUT, message="timed out after 3 s")
    rows = (
        Iteration(number=1, status=State.COMPLETED, prompt="first", result="did it"),
        Iteration(number=2, status=State.FAILED, prompt="second", failure=failure),
        Iteration(number=3, status=State.CLONING, prompt="third"),
    )
    task = replace(_task(), iteration=3, current_prompt="third", iterations=rows)

    told, told_lost = rebuilt_prompt(task), rebuilt_prompt(task, work_lost=True)

    order = [
        "earlier session",
        "first",
        "did it",
        "second",
        "timed out",
        "instruction now",
        "third",
    ]
    places = [told.index(part) for part in order]
    assert places == sorted(places)
    assert "hold the work done so far" in told
    assert "as it was at the start" in told_lost


def test_fault_a19_the_newest_iterations_come_first_when_not_all_fit() -> None:
    """The oldest are left out, and counted."""
    rows = tuple(
        Iteration(number=n, status=State.COMPLETED, prompt=f"prompt {n} " + "x" * 20_000)
        for n in range(1, 6)
    )
    task = replace(_task(), iteration=6, current_prompt="now", iterations=rows)

    told = rebuilt_prompt(task)

    assert "prompt 5 " in told
    assert "prompt 4 " in told
    assert "prompt 3 " not in told
    assert "3 earlier instructions are left out" in told
    assert len(told) < BUDGET_CHARS + 1_000


def _task() -> Task:
    return a_task(prompt="first")
