"""
What runs use, as a person would keep the books: the model of SPEND and of how claims settle.

A report is of the whole attempt so far, so only the newest one counts. What was reported is spent:
the task's total, the day of its budgets and the deployment's counters never give it back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from internal.agent.model import NO_USAGE, Usage
from tests.support.world import World

_STORED = (
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens"),
    *("cost_usd", "duration_seconds", "turns"),
)
_AMOUNTS = (*_STORED, "unpriced_tokens")


@dataclass
class Ledger:
    """What the deployment remembers: each budget's days, and counters of what has ended."""

    days: dict[tuple[str, str], Usage] = field(default_factory=dict[tuple[str, str], Usage])
    """By gate (`budget:...`) and day."""
    settled: Usage = NO_USAGE

    def spent(self, gate: str, day: str) -> dict[str, float]:
        """What a budget counts, by unit."""
        used = self.days.get((gate, day), NO_USAGE)
        new = used.input_tokens + used.output_tokens + used.cache_creation_tokens
        return {"usd": used.cost_usd, "tokens": new}

    def agrees(self, world: World) -> None:
        """The counters say what is believed, and no other day has anything."""
        days = {match[0] for match, _ in world.matching(r"spent:budget:.*")}
        assert days <= {f"spent:{gate}:{day}" for gate, day in self.days}
        for (gate, day), used in self.days.items():
            believed = {**self.spent(gate, day), "unpriced_tokens": used.unpriced_tokens}
            assert _numbers(world.get(f"spent:{gate}:{day}"), believed) == believed
            if gate.startswith("budget:tenant:"):
                names = ("input_tokens", "output_tokens", "cost_usd", "unpriced_tokens")
                believed = {name: getattr(used, name) for name in names}
                tenant = gate.removeprefix("budget:tenant:")
                found = _numbers(world.get(f"tenant:{tenant}:usage:{day}"), believed)
                assert found == believed
        believed = {
            **{f"tokens:demo:{name}": getattr(self.settled, name) for name in _STORED[:4]},
            "cost_usd:demo": self.settled.cost_usd,
            "unpriced_tokens:demo": self.settled.unpriced_tokens,
        }
        assert _numbers(world.get("counters"), believed) == believed


@dataclass
class Bill:
    """Of one task, whatever becomes of its runs."""

    ledger: Ledger
    total: Usage = NO_USAGE
    attempt: Usage = NO_USAGE
    rows: dict[int, Usage] = field(default_factory=dict[int, Usage])
    """What the rows of iterations say that do not run any more."""

    def report(self, usage: Usage, gates: Iterable[str], day: str) -> Usage:
        """The attempt has used *usage*; returns what of it is new."""
        new = minus(usage, self.attempt)
        self.attempt = usage
        self.total = plus(self.total, new)
        days = self.ledger.days
        for gate in gates:
            if gate.startswith("budget:"):
                days[gate, day] = plus(days.get((gate, day), NO_USAGE), new)
        return new

    def settle(self) -> None:
        """The claim is over, however."""
        self.ledger.settled = plus(self.ledger.settled, self.attempt)
        self.attempt = NO_USAGE

    def agrees(self, world: World, ref: str, usage: Usage, iteration: int) -> None:
        """The task says what is believed; *usage* is that of its *iteration*."""
        document, rows = world.document(ref), world.rows(ref)
        assert _read(document, "usage", "unpriced") == plus(NO_USAGE, usage)
        assert _read(document, "usage_total", "unpriced_total") == plus(NO_USAGE, self.total)
        for number, used in self.rows.items():
            if number != iteration:
                assert _read(rows, f"{number}.usage", f"{number}.unpriced") == plus(NO_USAGE, used)


def plus(one: Usage, other: Usage) -> Usage:
    """Both together."""
    return Usage(**{name: getattr(one, name) + getattr(other, name) for name in _AMOUNTS})


def minus(one: Usage, other: Usage) -> Usage:
    """What *one* has more than *other*; an estimate may have been too high."""
    return Usage(**{name: getattr(one, name) - getattr(other, name) for name in _AMOUNTS})


def _read(fields: dict[str, str], usage: str, unpriced: str) -> Usage:
    stored = json.loads(fields[usage])
    found = Usage(**{name: stored[name] for name in _STORED})
    return replace(found, unpriced_tokens=int(fields.get(unpriced, 0)))


def _numbers(found: dict[str, str], names: Iterable[str]) -> dict[str, float]:
    return {name: float(found.get(name, 0)) for name in names}
