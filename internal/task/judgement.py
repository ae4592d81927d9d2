"""
What an attempt has learned of what it used, as the arguments of JUDGE.

The rules travel with the samples, because the policy that has them lives in the worker; Redis has
the counts. Times are milliseconds there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from internal.control.breaker import Sample
from internal.control.quota import Shut
from internal.task.event import encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """*works*: keys of gates that let a run through that then went well."""

    works: Sequence[str] = ()
    samples: Sequence[Sample] = ()
    shut: Sequence[Shut] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.works or self.samples or self.shut)


def judge_args(judgement: Judgement) -> list[str]:
    """JUDGE's ARGV 4-6."""
    shut = [{"key": one.key, "ms": _millis(one.seconds), "why": one.why} for one in judgement.shut]
    return [
        encode(list(judgement.works)),
        encode([_sample(sample) for sample in judgement.samples]),
        encode(shut),
    ]


def _sample(sample: Sample) -> dict[str, Any]:
    rule = sample.rule
    return {
        "key": sample.key,
        "class": sample.key.split(":", 2)[1],
        "failed": sample.failed,
        "slow": sample.slow,
        "window": _millis(rule.window_seconds),
        "minimum": rule.minimum_calls,
        "failure_rate": rule.failure_rate,
        "slow_rate": rule.slow_rate,
        "consecutive": rule.consecutive,
        "pause": _millis(rule.pause_seconds),
        "longest_pause": _millis(rule.longest_pause_seconds),
    }


def _millis(seconds: float) -> int:
    return max(1, round(seconds * 1000))
