"""
What must hold of a task before something is done to it; where it does not, the act is refused.

The scripts decide by the task's state, in the step that acts; a budget that is used up is seen here
before they are asked.
"""

from __future__ import annotations

from internal.agent.usage import budget_tokens
from internal.control.budget import Used, find_used_up, members_of
from internal.errors import Conflict, NotFound
from internal.task.model import Task, TaskConfig
from internal.task.state import FINISHED
from internal.task.store import Reply


def check_done(reply: Reply, participle: str) -> Reply:
    """
    The *reply* of a script that acted; *participle* names the act (`cancelled`).

    Raises:
        NotFound: there is no such task.
        Conflict: its state does not allow the act.
    """
    if reply.word == "missing":
        raise NotFound("There is no such task.")
    if reply.word == "illegal":
        raise Conflict(f"The task is {reply.rest[0]}; it cannot be {participle} now.")
    return reply


def check_budget(task: Task, config: TaskConfig) -> None:
    """
    Refuse another run of a finished task that could use nothing.

    Raises:
        Conflict: says which budget is used up.
    """
    used = Used(tokens=budget_tokens(task.usage_total), usd=task.usage_total.cost_usd)
    over = find_used_up(config.budget, used)
    if over is not None and task.status in FINISHED:
        message = f"The budget config.{over.budget} is used up ({over.told})."
        raise Conflict(message, code="budget_exceeded", **members_of(over))
