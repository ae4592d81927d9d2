"""
Watchdog signals and what follows from them: pure words and numbers.

A *signal* says that a run behaved badly: its agent fell silent, repeated itself, left processes
behind. Each is counted for three *scopes*: the agent, the repository and the worker. What comes
again and again there raises the scope's *level*: it is warned of, throttled to one run at a time,
isolated (nothing new starts), and at last stopped (what runs is handed back). The mechanism is the
script SIGNAL; these numbers are a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Signal(StrEnum):
    """What a run can show; at most once each by one attempt."""

    SILENCE = "silence"
    """No output for as long as the deployment allows."""
    STUCK_TOOL = "stuck_tool"
    """One call of a tool took longer than the deployment allows."""
    REPEATS = "repeats"
    """The same action with the same input, again and again."""
    NO_RESULT = "no_result"
    """The program ended well and said nothing of how its work ended."""
    SURVIVORS = "survivors"
    """Processes had to be killed after the agent had ended by itself."""
    SLOW_END = "slow_end"
    """Ending the agent took long."""
    WORKER_LOST = "worker_lost"
    """Its worker died."""


class ScopeKind(StrEnum):
    """What has a level: `agent:<cli>`, `repo:<tenant>:<repo>`, `worker:<id>`."""

    AGENT = "agent"
    REPOSITORY = "repo"
    WORKER = "worker"


class Level(StrEnum):
    """In rising order."""

    WARN = "warn"
    THROTTLE = "throttle"
    """One run at a time."""
    ISOLATE = "isolate"
    """Nothing new starts, until somebody releases it."""
    STOP = "stop"
    """And what runs is handed back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Signals of one kind within the window that raise a scope to each level; 0: never."""

    warn: int = 0
    throttle: int = 0
    isolate: int = 0
    stop: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationRule:
    """When a signal of one kind raises one kind of scope, and when its level falls again."""

    thresholds: Thresholds
    window_seconds: int
    quiet_seconds: int
    """Without a signal for so long, `warn` and `throttle` end by themselves."""


# A repository is isolated before it can take its agent or its worker along.
_REPOSITORY = Thresholds(warn=3, throttle=6, isolate=12, stop=18)
_SHARED = Thresholds(warn=6, throttle=16, isolate=32, stop=48)
_THRESHOLDS = {
    ScopeKind.AGENT: _SHARED,
    ScopeKind.REPOSITORY: _REPOSITORY,
    ScopeKind.WORKER: _SHARED,
}
# Left processes may be a development server that is left on purpose; a program that speaks a CLI
# may know no result line; a machine that dies says nothing of what it ran (and three lives bound
# what does kill machines).
_WARN_ONLY = frozenset({Signal.NO_RESULT, Signal.SURVIVORS, Signal.WORKER_LOST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """The numbers of a deployment, as its settings have them."""

    window_seconds: int = 3600
    quiet_seconds: int = 900
    thresholds: Mapping[ScopeKind, Thresholds] = field(default_factory=lambda: dict(_THRESHOLDS))
    warn_only: frozenset[Signal] = _WARN_ONLY
    """Signals that raise nothing beyond `warn`."""

    def rule(self, signal: Signal, scope: ScopeKind) -> EscalationRule | None:
        """The rule; None when such a signal says nothing of such a scope."""
        if signal is Signal.WORKER_LOST and scope is ScopeKind.WORKER:
            return None  # it is gone, and its name never comes back
        wanted = self.thresholds[scope]
        if signal in self.warn_only:
            wanted = Thresholds(warn=wanted.warn)
        return EscalationRule(
            thresholds=wanted,
            window_seconds=self.window_seconds,
            quiet_seconds=self.quiet_seconds,
        )


RuleOf = Callable[[Signal, ScopeKind], EscalationRule | None]


def encode_rules(rule_of: RuleOf, signals: Iterable[Signal]) -> str:
    """
    The rules as the scripts take them: lines `<signal> <kind of scope> <window in ms> <quiet in
    ms> <warn> <throttle> <isolate> <stop>`.
    """
    lines: list[str] = []
    for signal in signals:
        for scope in ScopeKind:
            rule = rule_of(signal, scope)
            if rule is not None:
                times = f"{rule.window_seconds * 1000} {rule.quiet_seconds * 1000}"
                counts = " ".join(str(getattr(rule.thresholds, level)) for level in Level)
                lines.append(f"{signal} {scope} {times} {counts}\n")
    return "".join(lines)
