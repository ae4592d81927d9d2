"""What of a run's budgets is used up before its agent starts again."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from internal.agent.model import NO_USAGE
from internal.clock import SystemClock
from internal.control.budget import Budget
from internal.control.prices import Prices
from internal.task.model import Claim
from internal.task.queue import TaskQueue
from internal.worker.spending import Spending
from tests.support.a_task import a_task


@pytest.mark.parametrize(("before", "left"), [(0, 10), (7, 3), (10, 1), (12, 1)])
def test_a_pause_brings_no_new_turns(before: int, left: int) -> None:
    """
    The turns of before the pause count, or a limit could be gone round by pausing.

    An agent gets one at least: it is ended when it begins that.
    """
    task = a_task(usage=replace(NO_USAGE, turns=before))
    claim = Claim(task=task, token="t", claim="c", worker="w", home="h", attempt=2)  # noqa: S106
    spending = Spending(
        cast("TaskQueue", None),
        claim,
        budget=Budget(max_turns=10),
        prices=Prices([]),
        clock=SystemClock(),
        tell=lambda event: None,
    )

    standing = spending.standing("max_turns")

    assert standing is not None
    assert (standing.used, spending.max_turns) == (before, left)
