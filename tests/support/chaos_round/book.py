"""
What the clients of a round were told: the other half of the truth that is kept outside Redis.

A task is *accepted* once its id was answered. A call whose answer was lost may have been done or
not; it is counted apart.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.support.chaos_round.plan import TaskPlan


@dataclass
class Accepted:
    """One accepted task, and the runs its client asked for behind the first."""

    id: str
    plan: TaskPlan
    runs: int = 0
    """Accepted follow-ups and retries; create-prs are not among them."""
    unknown: int = 0
    """Calls for such a run without an answer."""
    viewed: list[list[tuple[int, str]]] = field(default_factory=list[list[tuple[int, str]]])
    """What each viewer was sent, over all its connections: numbers and envelopes."""

    @property
    def ref(self) -> str:
        return f"{self.plan.tenant}/{self.id}"


@dataclass
class Book:
    """Everything the clients of one batch know."""

    accepted: dict[str, Accepted] = field(default_factory=dict[str, Accepted])
    calls: Counter[str] = field(default_factory=Counter[str])
    """What was asked for, by its name; `duplicates` among them."""
    doubled: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])
    """What no client may be told."""
