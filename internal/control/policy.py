"""
The policy: every number and choice that the mechanisms of the queue go by.

The mechanisms (gates, breakers, budgets, escalation) cannot be switched off; what they decide by is
here, pure, and can be replaced: by settings, or by a package's own policy (`policy_loader`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from internal.control.breaker import BreakerRule
from internal.control.budget import UNLIMITED, Budget
from internal.control.escalation import Escalation, EscalationRule, ScopeKind, Signal
from internal.control.gate import Gate, gates_for
from internal.control.outcome import OutcomePolicy, OutcomeRules
from internal.control.pressure import Load, Pressure, Verdict
from internal.control.pressure import pressure as judge
from internal.control.quota import UsedUp
from internal.control.retry import Failed

EVERYBODY_ELSE = "*"
"""The name under which a table says what holds for those it does not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is known of a run when it is queued."""

    tenant: str
    repo_key: str
    agent: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    priority: str = "normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """
    What a tenant, a repository or an agent may have of a deployment.

    None: as everybody else; 0: no limit, although everybody else may have one.
    """

    weight: float | None = None
    """Of tenants: one with weight 3 is served three times while another is served once."""
    concurrency: int | None = None
    """Running at once, at most."""
    starts_per_minute: int | None = None
    """Runs that begin in any 60 s, at most."""
    usd_per_day: float | None = None
    tokens_per_day: int | None = None
    """Until midnight, UTC."""


@runtime_checkable
class Policy(OutcomePolicy, Protocol):
    """
    What a deployment goes by. Every method is pure and quick: it is asked for each request or run.
    """

    def gates(self, run: RunFacts) -> Sequence[Gate]:
        """What *run* must pass before it is claimed, its tenant's own cap first."""
        ...

    def limits(self) -> Mapping[str, float]:
        """
        The limits of gates and the weights, as fields of the hash `limits`.

        A gate's own key, or its class (`tenant:*`, `repo:*:<repository>`, `rate:agent:*`);
        behind the key of a budget `:usd` or `:tokens`; `weight:<tenant>`. 0 is no limit.
        """
        ...

    def escalation(self, signal: Signal, scope: ScopeKind) -> EscalationRule | None:
        """When such signals raise such a scope; None when they say nothing of it."""
        ...

    def pressure(self, load: Load) -> Verdict:
        """Whether new work is taken under *load*."""
        ...

    def budget(self, run: RunFacts) -> Budget:
        """
        What *run* may use at most, and how long a tool call may take unless the task says so.

        A task can be tighter; what it has used before counts.
        """
        ...


class SettingsPolicy:
    """What the settings say. *repositories* are named by the key of their URL."""

    def __init__(
        self,
        *,
        tenants: Mapping[str, Share],
        repositories: Mapping[str, Share],
        agents: Mapping[str, Share],
        escalation: Escalation | None = None,
        pressure: Pressure | None = None,
        outcomes: OutcomeRules | None = None,
        budget: Budget = UNLIMITED,
    ) -> None:
        self._budget = budget
        self._escalation = escalation or Escalation()
        self._pressure = pressure or Pressure()
        self._outcomes = outcomes or OutcomeRules()
        self._limits: dict[str, float] = {"dedup:*": 1}
        for name, share in tenants.items():
            self._limits |= _limits(f"tenant:{name}", share)
            if share.weight is not None:
                self._limits[f"weight:{name}"] = share.weight
        for name, share in repositories.items():
            owner = "repo:*" if name == EVERYBODY_ELSE else f"repo:*:{name}"
            self._limits |= _limits(owner, share)
        for name, share in agents.items():
            self._limits |= _limits(f"agent:{name}", share)

    def gates(self, run: RunFacts) -> Sequence[Gate]:
        """All of them, whoever has a limit now."""
        return gates_for(tenant=run.tenant, repo_key=run.repo_key, agent=run.agent)

    def limits(self) -> Mapping[str, float]:
        """Those of the tables."""
        return self._limits

    def escalation(self, signal: Signal, scope: ScopeKind) -> EscalationRule | None:
        """As the numbers say."""
        return self._escalation.rule(signal, scope)

    def pressure(self, load: Load) -> Verdict:
        """As the numbers say."""
        return judge(load, self._pressure)

    def retry(self, failed: Failed) -> float | None:
        """See `OutcomePolicy`."""
        return self._outcomes.retry(failed)

    def quota_wait(self, used_up: UsedUp) -> float | None:
        """See `OutcomePolicy`."""
        return self._outcomes.quota_wait(used_up)

    def breaker(self, key: str) -> BreakerRule:
        """See `OutcomePolicy`."""
        return self._outcomes.breaker(key)

    def budget(self, run: RunFacts) -> Budget:
        """The same for all."""
        del run
        return self._budget


def _limits(owner: str, share: Share) -> Iterator[tuple[str, float]]:
    said = {
        owner: share.concurrency,
        f"rate:{owner}": share.starts_per_minute,
        f"budget:{owner}:usd": share.usd_per_day,
        f"budget:{owner}:tokens": share.tokens_per_day,
    }
    return ((name, limit) for name, limit in said.items() if limit is not None)
