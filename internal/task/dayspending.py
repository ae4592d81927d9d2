"""How the day budgets above a run stand, as SPEND answers to whoever spends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySpending:
    """How a day budget stands: what was used of it today (UTC), by all runs under it."""

    scope: str
    """`tenant:<t>`, `repo:<t>:<repo>` or `agent:<cli>`."""
    unit: str
    """`usd` or `tokens`."""
    used: float
    limit: float


def decode_spending(reply: Sequence[str]) -> Sequence[DaySpending]:
    """What SPEND returns behind `ok`: gate, unit, used and limit of each."""
    rows = zip(reply[::4], reply[1::4], reply[2::4], reply[3::4], strict=True)
    return [
        DaySpending(
            scope=gate.removeprefix("budget:"), unit=unit, used=float(used), limit=float(limit)
        )
        for gate, unit, used, limit in rows
    ]
