"""
Gates: what a task must pass before a worker may claim it, as plain values.

The queue's CLAIM script evaluates them, takes all or none, and parks what has to wait: a closed
gate of the tenant parks the whole tenant, any other gate only the task. Only caps exist so far; a
kind is a word in the line, so more can follow without changing what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class GateKind(StrEnum):
    """How a gate decides. `cap`: at most so many at once."""

    CAP = "cap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate of one task; `key` is shared by all tasks that compete for the same places."""

    key: str
    kind: GateKind = GateKind.CAP
    cost: int = 1


def gates_for(*, tenant: str, repo_key: str) -> tuple[Gate, ...]:
    """The gates of an agent run; the tenant's own stands first, as CLAIM expects."""
    return (Gate(key=f"tenant:{tenant}"), Gate(key=f"repo:{tenant}:{repo_key}"))


def encode_gates(gates: tuple[Gate, ...]) -> str:
    """The form stored with a task: one line `<kind> <cost> <key>` each."""
    return "".join(f"{gate.kind} {gate.cost} {gate.key}\n" for gate in gates)


def default_limits(*, tenant_concurrency: int, repo_concurrency: int) -> dict[str, int]:
    """The limits of settings as fields of the `limits` hash; 0 means no cap."""
    return {"tenant:*": tenant_concurrency, "repo:*": repo_concurrency}
