"""
Circuit breakers: what keeps runs away from an agent program or a model endpoint that is broken.

A breaker is a gate of the kind `until`. This file says what is told to it and when it opens; the
counting is in JUDGE (internal/task/lua/judge.lua), in Redis, so all workers share it. It opens on
any of: so many failures in a row; a share of failures, or of slow calls, once the window has
enough calls. Then the gate is shut for a pause that doubles each time its probe fails; behind the
pause one run at a time goes first, and a success of any run opens the gate and empties the window.

A run that was cancelled, ran out of a budget or of its own time, or failed at its task says
nothing here. The design is that of the circuit breakers of Release It! and resilience4j.
"""

from __future__ import annotations

from dataclasses import dataclass

AGENT, ENDPOINT = "agent", "endpoint"
"""The two classes; they are the label of metrics, so there are never more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRule:
    """
    When one breaker opens, and for how long; durations in seconds. A threshold of 0 is off.

    The window holds so many calls that a handful of bad tasks, which may have themselves to blame,
    shuts nothing: a breaker is everybody's.
    """

    window_seconds: int = 300
    minimum_calls: int = 20
    failure_rate: float = 0.5
    slow_rate: float = 0.8
    slow_seconds: float = 60.0
    consecutive: int = 10
    pause_seconds: int = 30
    longest_pause_seconds: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run says of one breaker: it worked, or it failed; and how long an answer took."""

    key: str
    failed: bool
    rule: BreakerRule
    seconds: float = 0.0

    @property
    def slow(self) -> bool:
        """Whether it counts as a slow call."""
        return 0 < self.rule.slow_seconds < self.seconds


def agent_key(name: str) -> str:
    """The breaker of an agent program, which is also a gate of every task for it."""
    return f"breaker:{AGENT}:{name}"


def endpoint_key(host: str) -> str:
    """The breaker of a model endpoint; *host* with its port, where that is not the usual one."""
    return f"breaker:{ENDPOINT}:{host}"
