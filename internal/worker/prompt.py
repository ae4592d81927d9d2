"""
What the agent is told: the user's text and nothing else, a word to go on after a pause, or, when
its session is gone, a rebuilt prompt.

A rebuilt prompt says so, and gives the newest iterations first place: they are taken from the
newest backwards until the budget is used up, then shown in order.
"""

from __future__ import annotations

from collections.abc import Sequence

from internal.task.model import Iteration, Task

BUDGET_CHARS = 50_000
_RESULT_CHARS = 2_000

GO_ON = "Go on where you were interrupted."
"""To a session that was paused: it knows what it was doing, and for whom."""

_HEADER = (
    "Your earlier session for this work is not available, so this is what was said before. "
    "The files in the working directory hold the work done so far."
)
_HEADER_LOST = (
    "Your earlier session for this work and the files changed in it are not available. "
    "This is what was said before; the working directory is as it was at the start."
)


def prompt_of(task: Task) -> str:
    """The text of the current iteration, as the user wrote it."""
    return task.current_prompt or task.prompt


def rebuilt_prompt(task: Task, *, work_lost: bool = False, goes_on: bool = False) -> str:
    """
    The current prompt behind what was said in earlier iterations; needs `task.iterations`.

    With *goes_on* a part of it is done already.
    """
    earlier = [row for row in task.iterations or () if row.number < task.iteration]
    if not earlier and not goes_on:
        return prompt_of(task)
    header = _HEADER_LOST if work_lost else _HEADER
    title = "The instruction now, which you had begun" if goes_on else "The instruction now"
    parts = [header, *_newest_that_fit(earlier), f"{title}:\n\n{prompt_of(task)}"]
    return "\n\n".join(parts)


def _newest_that_fit(rows: Sequence[Iteration]) -> list[str]:
    chosen: list[str] = []
    left = BUDGET_CHARS
    for row in reversed(rows):
        text = _tell(row)
        if len(text) > left:
            break
        left -= len(text)
        chosen.append(text)
    if len(chosen) < len(rows):
        chosen.append(f"({len(rows) - len(chosen)} earlier instructions are left out.)")
    return list(reversed(chosen))


def _tell(row: Iteration) -> str:
    outcome = row.result or (row.failure.message if row.failure else "")
    return (
        f"Instruction {row.number} ({row.status}):\n{row.prompt}\n\n"
        f"What came of it:\n{outcome[:_RESULT_CHARS]}"
    )
