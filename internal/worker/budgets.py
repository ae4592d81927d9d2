"""How the runs of one worker are held to budgets: what each may use, and what tokens cost."""

from __future__ import annotations

from collections.abc import Callable

from internal.clock import Clock
from internal.control.budget import Budget
from internal.control.prices import Prices
from internal.task.event import NewEvent
from internal.task.model import Claim, Task
from internal.task.queue import TaskQueue
from internal.worker.spending import Spending


class Budgets:
    """*allowed* is what the policy lets a task use."""

    def __init__(
        self, queue: TaskQueue, *, allowed: Callable[[Task], Budget], prices: Prices, clock: Clock
    ) -> None:
        self._queue = queue
        self._allowed = allowed
        self._prices = prices
        self._clock = clock

    def open(self, claim: Claim, tell: Callable[[NewEvent], None]) -> Spending:
        """The spending of one claim; *tell* takes its events. Close it."""
        task = claim.task
        return Spending(
            self._queue,
            claim,
            budget=self._allowed(task).for_task(task.config.budget),
            prices=self._prices,
            clock=self._clock,
            tell=tell,
        )
