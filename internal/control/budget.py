"""
Budgets of one run: how much its agent may use, and how that stands. Pure.

A budget is no estimate that is given back: what an agent has used counts, of the whole task. Who
measures it is the worker (`worker.spending`); the days of tenants, repositories and agents are
counted by the queue's script SPEND.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

Number = TypeVar("Number", int, float)

WARN_SHARE = 0.8
"""Of a limit, by default: a warning has to come while something is left."""

MAX_TURNS = "max_turns"
MAX_TOKENS = "max_tokens"
MAX_BUDGET_USD = "max_budget_usd"
TOOL_SECONDS = "tool_seconds"
"""Budgets of a task are named as its settings are, so a client sees what to raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may use; None: as much as it likes. USD and tokens are those of the whole task."""

    max_turns: int | None = None
    max_tokens: int | None = None
    max_budget_usd: float | None = None
    tool_seconds: int | None = None
    """How long a single tool call may take."""
    warn_share: float = WARN_SHARE

    def for_task(self, own: Budget) -> Budget:
        """
        As a policy's budget, with what the task itself asks for.

        A task can be tighter than its policy and not looser, but for `tool_seconds`, which is a
        default.
        """
        return Budget(
            max_turns=_tighter(self.max_turns, own.max_turns),
            max_tokens=_tighter(self.max_tokens, own.max_tokens),
            max_budget_usd=_tighter(self.max_budget_usd, own.max_budget_usd),
            tool_seconds=own.tool_seconds or self.tool_seconds or None,
            warn_share=self.warn_share,
        )


UNLIMITED = Budget()


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What was used so far: turns of the run, tokens and USD of the task, the longest tool."""

    turns: int = 0
    tokens: int = 0
    usd: float = 0.0
    tool_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One budget: how much of it is used. `scope` says whose it is, "" for the task's own."""

    budget: str
    used: float
    limit: float
    scope: str = ""

    @property
    def is_exceeded(self) -> bool:
        """A turn counts when it begins, so the last one may be; all else is over at its limit."""
        if self.budget == MAX_TURNS:
            return self.used > self.limit
        return self.used >= self.limit

    @property
    def told(self) -> str:
        """How it stands, and, of a task's own, what to raise; for people."""
        used = f"used {self.used:.15g} of {self.limit:.15g}"
        return used if self.scope else f"{used}; instruct with a higher config.{self.budget}"


def standings(budget: Budget, used: Used) -> tuple[Standing, ...]:
    """How each limit of *budget* stands."""
    pairs: tuple[tuple[str, float, float | None], ...] = (
        (MAX_BUDGET_USD, round(used.usd, 6), budget.max_budget_usd),
        (MAX_TOKENS, used.tokens, budget.max_tokens),
        (MAX_TURNS, used.turns, budget.max_turns),
        (TOOL_SECONDS, round(used.tool_seconds, 1), budget.tool_seconds),
    )
    return tuple(
        Standing(budget=name, used=amount, limit=limit) for name, amount, limit in pairs if limit
    )


def find_exceeded(all_: Iterable[Standing]) -> Standing | None:
    """The first that is used up."""
    return next((standing for standing in all_ if standing.is_exceeded), None)


def find_used_up(budget: Budget, used: Used) -> Standing | None:
    """What of the task's own is used up before a run begins: no agent could do anything with it."""
    return find_exceeded(row for row in standings(budget, used) if row.budget in _OF_TASK)


def to_warn(all_: Iterable[Standing], share: float) -> list[Standing]:
    """Those of which *share* is used: a step over both marks is told as a warning, too."""
    return [row for row in all_ if row.used >= share * row.limit]


def members_of(standing: Standing) -> dict[str, object]:
    """
    A budget as events and failures tell it.

    A budget of all tenants together is told without numbers: what others spend is theirs.
    """
    told: dict[str, object] = {"budget": standing.budget}
    if standing.scope:
        told["scope"] = standing.scope
    if not standing.scope.startswith("agent:"):
        told |= {"used": standing.used, "limit": standing.limit}
    return told


_OF_TASK = (MAX_BUDGET_USD, MAX_TOKENS)


def _tighter(one: Number | None, other: Number | None) -> Number | None:
    return min((limit for limit in (one, other) if limit), default=None)
