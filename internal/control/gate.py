"""
Gates: what a task must pass before a worker may claim it, as plain values.

The queue's CLAIM script evaluates them, takes all or none, and parks what has to wait: a closed
cap of the tenant parks the whole tenant, any other gate only the task. A key's first word says
what the gate is for, and so of which kind it is; REAP knows a gate by its key alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class GateKind(StrEnum):
    """How a gate decides."""

    CAP = "cap"
    """At most so many at once."""
    RATE = "rate"
    """At most so many starts in any 60 s."""
    BUDGET = "budget"
    """Until so much was spent on a day (UTC)."""
    UNTIL = "until"
    """Shut until a time or until it is released; then one goes ahead of the others."""


_KINDS = {
    "rate": GateKind.RATE,
    "budget": GateKind.BUDGET,
    "breaker": GateKind.UNTIL,
    "quota": GateKind.UNTIL,
    "hold": GateKind.UNTIL,
}


def kind_of(key: str) -> GateKind:
    """The kind of the gate *key*, by its first word; a cap unless that is another kind's."""
    return _KINDS.get(key.partition(":")[0], GateKind.CAP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate of one task; `key` is shared by all tasks that compete for the same places."""

    key: str
    cost: int = 1
    """Places that must be free; the task takes one."""

    def __post_init__(self) -> None:
        if not self.key or "\n" in self.key or self.cost < 1:
            raise ValueError(f"not a gate: {self.key!r}, cost {self.cost}")

    @property
    def kind(self) -> GateKind:
        """How it decides."""
        return kind_of(self.key)


def gates_for(*, tenant: str, repo_key: str, agent: str) -> tuple[Gate, ...]:
    """
    Every gate of an agent run; the tenant's own cap stands first, as CLAIM expects.

    Also those without a limit yet: one that is set later holds for what is queued already.
    """
    repo = f"repo:{tenant}:{repo_key}"
    owners = (f"tenant:{tenant}", repo, f"agent:{agent}")
    keys = (
        owners[0],
        *(f"hold:agent:{agent}", f"hold:{repo}", f"breaker:agent:{agent}"),
        *(f"budget:{owner}" for owner in owners),
        *owners[1:],
        *(f"rate:{owner}" for owner in owners),
    )
    return tuple(Gate(key=key) for key in keys)


def encode_gates(gates: Sequence[Gate]) -> str:
    """The form stored with a task: one line `<kind> <cost> <key>` each."""
    return "".join(f"{gate.kind} {gate.cost} {gate.key}\n" for gate in gates)
