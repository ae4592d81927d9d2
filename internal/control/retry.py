"""
Whether a failed run repeats by itself, and when. Pure.

Three classes of failures: what may pass by itself (no disk, a rate limit, a network), what the
agent did wrong (repeated only when the task asks), and what lasts. A repeat waits for full jitter
over `base * factor^n`, and never less than the other side asked for; it is a due time in Redis, so
it survives every process.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from internal.backoff import full_jitter

_SHORTEST_SECONDS = 1.0


class FailureClass(StrEnum):
    """What a failure says about a repeat."""

    LASTING = "lasting"
    PASSING = "passing"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """The numbers; durations in seconds."""

    most_repeats: int = 3
    """After failures that may pass."""
    base_seconds: float = 5.0
    factor: float = 4.0
    longest_seconds: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A run that failed, how often it was repeated already, and what its task allows."""

    kind: FailureClass
    repeats: int
    """All of the run's are counted together, whatever they were for."""
    asked_repeats: int = 0
    """How many the task wants when the agent itself fails."""
    asked_seconds: float | None = None
    """How long the other side wants to be left alone (Retry-After)."""


def repeat_delay(rule: RetryRule, failed: Failed, random: Random) -> float | None:
    """Seconds until the run repeats by itself, or None when it ends here."""
    if failed.repeats >= _most(rule, failed):
        return None
    delay = full_jitter(
        failed.repeats,
        base_seconds=rule.base_seconds,
        factor=rule.factor,
        cap_seconds=rule.longest_seconds,
        random=random,
    )
    return max(_SHORTEST_SECONDS, delay, failed.asked_seconds or 0.0)


def is_exhausted(failed: Failed) -> bool:
    """Whether a run that ends here was repeated as often as it may be: a dead letter."""
    wants_repeats = failed.kind is FailureClass.PASSING or (
        failed.kind is FailureClass.AGENT and failed.asked_repeats > 0
    )
    return wants_repeats and failed.repeats > 0


def _most(rule: RetryRule, failed: Failed) -> int:
    match failed.kind:
        case FailureClass.PASSING:
            return rule.most_repeats
        case FailureClass.AGENT:
            return failed.asked_repeats
        case FailureClass.LASTING:
            return 0
