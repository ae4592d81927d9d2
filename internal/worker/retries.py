"""
From a failure to the end of an attempt: the run repeats by itself, or this was its last word.
"""

from __future__ import annotations

from dataclasses import replace

from internal.control.outcome import OutcomePolicy
from internal.control.retry import Failed, is_exhausted
from internal.task.event import new_event
from internal.task.model import Claim, Failure, Outcome
from internal.worker.failure import class_of
from internal.worker.report import End, HandBack
from internal.worker.run import Run


class Retries:
    """Asks the policy."""

    def __init__(self, policy: OutcomePolicy) -> None:
        self._policy = policy

    def fail(self, run: Run, failure: Failure, outcome: Outcome) -> End:
        """The end of a run that failed: a repeat, while there is one left."""
        exhausted = is_exhausted(_failed(run.claim, failure))
        ended = replace(outcome, failure=failure, exhausted=exhausted)
        return self.find(run, failure) or ended

    def find(
        self, run: Run, failure: Failure, asked_seconds: float | None = None
    ) -> HandBack | None:
        """
        The repeat of a run that failed, or None when none is left.

        *asked_seconds*: how long the other side wants to be left alone.
        """
        delay = self._policy.retry(_failed(run.claim, failure, asked_seconds))
        if delay is None:
            return None
        warn(run, failure)
        return HandBack(reason=failure.reason.value, delay_seconds=delay, repeat=True)


def warn(run: Run, failure: Failure) -> None:
    """Say what went wrong in an attempt that is not the last."""
    told = {"reason": failure.reason.value, "message": failure.message}
    run.recorder.add(new_event("system", "warning", told))


def _failed(claim: Claim, failure: Failure, asked_seconds: float | None = None) -> Failed:
    return Failed(
        kind=class_of(failure),
        repeats=claim.task.retries,
        asked_repeats=claim.task.config.retries or 0,
        asked_seconds=asked_seconds,
    )
