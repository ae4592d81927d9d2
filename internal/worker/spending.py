"""
What a run uses while it runs, held against its budgets, and told to Redis.

Beside the watchdog of time: looks ten times a second at what the agent has told, however many lines
it prints, warns once per budget, and returns when one is used up. Redis is told at most once a
second, when there is something new, and asked when a day budget stands above the run, which others
use up, too. While Redis is away the task's own budgets go on, and the next report has it all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from internal.agent.model import AgentEvent, Usage
from internal.agent.usage import budget_tokens
from internal.clock import Clock
from internal.control.budget import (
    Budget,
    Standing,
    Used,
    find_exceeded,
    find_used_up,
    members_of,
    standings,
    to_warn,
)
from internal.control.prices import Prices
from internal.errors import Fenced
from internal.fault import fault_point
from internal.task.dayspending import DaySpending
from internal.task.event import NewEvent, new_event
from internal.task.model import Claim
from internal.task.queue import TaskQueue
from internal.worker.meter import Meter
from internal.worker.toolclock import ToolClock

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.1
_TELL_SECONDS = 1.0
_ASK_ROUNDS = 5
"""A run with nothing to tell asks each 5 s how the day budgets above it stand, if there are any."""
_LAST_WORD_SECONDS = 5.0


class Process(Protocol):
    """What is asked of the agent's process."""

    def frozen_seconds(self) -> float: ...


class Agent(Protocol):
    """What is asked of a running agent."""

    @property
    def usage(self) -> Usage: ...

    @property
    def process(self) -> Process: ...


class Spending:
    """
    Of one claim. *tell* takes the events.

    `begin` with each process of the agent, then `watch` beside it, then `settle` with what it said
    in the end; `close` when nothing more is to be told.
    """

    def __init__(
        self,
        queue: TaskQueue,
        claim: Claim,
        *,
        budget: Budget,
        prices: Prices,
        clock: Clock,
        tell: Callable[[NewEvent], None],
    ) -> None:
        self._queue = queue
        self._claim = claim
        self._budget = budget
        self._clock = clock
        self._tell = tell
        self._meter = Meter(prices)
        self._tools = ToolClock(self._time)
        self._agent: Agent | None = None
        self._days: Sequence[Standing] | None = None
        self._warned: set[tuple[str, str]] = set()
        self._told: Usage | None = None
        self._sending: asyncio.Task[None] | None = None

    @property
    def usage(self) -> Usage:
        """What the attempt has used so far."""
        return self._meter.usage

    @property
    def left_usd(self) -> float | None:
        """What the agent may still spend, for a CLI that can watch it itself; None: no limit."""
        limit = self._budget.max_budget_usd
        return None if limit is None else max(0.0, limit - self._used().usd)

    @property
    def max_turns(self) -> int | None:
        """Turns that one process of the agent may take: what a pause has left, and at least one."""
        limit = self._budget.max_turns
        return None if limit is None else max(1, limit - self._used().turns)

    def find_used_up(self) -> Standing | None:
        """What of the task's budget was used up before: then no agent needs to start."""
        return find_used_up(self._budget, self._used())

    def standing(self, budget: str) -> Standing | None:
        """How one of the task's own budgets stands; None when it has no such limit."""
        rows = standings(self._budget, self._used())
        return next((row for row in rows if row.budget == budget), None)

    def begin(self, agent: Agent) -> None:
        """A process of the agent runs."""
        self._meter.begin()
        self._agent = agent
        self._tools = ToolClock(self._time)

    def see(self, event: AgentEvent) -> None:
        """An event of the agent, before any limit on events."""
        self._tools.see(event)

    async def watch(self) -> Standing:
        """Return when a budget is used up, never before; cancel it when the run ends first."""
        telling = asyncio.create_task(self._keep_telling())
        try:
            while True:
                if self._agent is not None:
                    self._meter.note(self._agent.usage)
                if over := self._look():
                    return over
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            telling.cancel()  # a report on its way goes on without it

    def settle(self, usage: Usage) -> None:
        """The process has ended, and this is what it used."""
        self._meter.note(usage)
        self._agent, self._tools = None, ToolClock(self._time)
        self._warn(standings(self._budget, self._used()))

    async def close(self) -> None:
        """A report on its way has arrived, or will not."""
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=_LAST_WORD_SECONDS)

    def _look(self) -> Standing | None:
        rows = (*standings(self._budget, self._used()), *(self._days or ()))
        self._warn(rows)
        return find_exceeded(rows)

    def _warn(self, rows: Sequence[Standing]) -> None:
        for row in to_warn(rows, self._budget.warn_share):
            if (row.budget, row.scope) not in self._warned:
                self._warned.add((row.budget, row.scope))
                self._tell(new_event("control", "budget_warning", members_of(row)))

    def _used(self) -> Used:
        total, usage = self._claim.task.usage_total, self._meter.usage
        return Used(
            turns=self._claim.task.usage.turns + usage.turns,  # of before a pause, too
            tokens=budget_tokens(total) + budget_tokens(usage),
            usd=total.cost_usd + usage.cost_usd,
            tool_seconds=self._tools.longest(),
        )

    def _time(self) -> float:
        frozen = 0.0 if self._agent is None else self._agent.process.frozen_seconds()
        return self._clock.monotonic() - frozen

    async def _keep_telling(self) -> None:
        rounds = 0
        while True:
            usage = replace(self._meter.usage, duration_seconds=0.0, model=None)  # no news
            asks = rounds >= _ASK_ROUNDS and (self._days is None or len(self._days) > 0)
            if asks or usage != (self._told or Usage()):
                # Not cancelled with its caller: a Redis call is never cut half-way.
                self._sending = asyncio.create_task(self._send(usage))
                await asyncio.shield(self._sending)
                rounds = 0
            rounds += 1
            await asyncio.sleep(_TELL_SECONDS)

    async def _send(self, usage: Usage) -> None:
        try:
            days = await self._queue.spend(self._claim, self._meter.usage)
        except Fenced:
            return  # the heartbeat ends the run
        except (RedisError, OSError) as error:
            log.warning("spending.untold", error=str(error))
            return
        fault_point("spent")
        self._told = usage
        self._days = [_standing(day) for day in days]


def _standing(day: DaySpending) -> Standing:
    used = round(day.used, 6)
    return Standing(budget=f"{day.unit}_per_day", scope=day.scope, used=used, limit=day.limit)
