"""
Last step of a run: how it ended, with the work that its agent left.

Whatever ended the run (the agent itself, a limit, a budget, a cancel, a pause) becomes the one end
that `report` tells to Redis. An end that counts for nothing records nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from internal.agent.model import Ending
from internal.clock import Clock
from internal.control.budget import Standing, members_of
from internal.control.outcome import OutcomePolicy
from internal.errors import CodeforgeError, Fenced
from internal.task.event import new_event
from internal.task.model import Failure, Outcome
from internal.telemetry.tracing import span
from internal.worker import failure as failures
from internal.worker.keep import keep_work
from internal.worker.lease import Stop
from internal.worker.prepare import Prepared
from internal.worker.report import End, HandBack, Suspended
from internal.worker.retries import Retries
from internal.worker.run import Run
from internal.worker.stopping import Stopped, until_stopped
from internal.worker.supervision import Ended, EndedBy
from internal.worker.watchdog import LimitKind
from internal.workspace.manager import Workspaces

log = structlog.get_logger(__name__)

_UNRECORDED = frozenset({Stop.FENCED, Stop.OUTAGE, Stop.SHUTDOWN, Stop.ESCALATED})
"""Reasons after which the run starts anew elsewhere, so its work does not count."""

_RECORD_SECONDS = 120
"""To record what an agent left, although the run's time is over: a large tree on a slow disk."""

_RECORD_GRACE_SECONDS = 30
"""The same, once somebody waits for the run's end: a cancelled run keeps its work, too."""


class Endings:
    """From how a run ended to the end that is reported; holds no state of any."""

    def __init__(self, workspaces: Workspaces, policy: OutcomePolicy, clock: Clock) -> None:
        self._workspaces = workspaces
        self._retries = Retries(policy)
        self._clock = clock

    async def conclude(
        self, run: Run, prepared: Prepared, ended: Ended, hidden: Sequence[str]
    ) -> End:
        """
        The end of a run whose agent ended: a repeat, or what it left, without what is *hidden*.

        Raises:
            Fenced: nothing of this run counts.
        """
        ran_seconds = self._ran_seconds(run)
        if ended.stopped is Stop.PAUSE and ended.result.ending is Ending.COMPLETED:
            ended = replace(ended, stopped=None)  # it had done its work before it was interrupted
        if ended.stopped is not None and ended.stopped in _UNRECORDED:
            return self.early(run, ended.stopped)
        failure = _failure_of(run, ended)
        if ended.stopped is None and failure is not None:
            repeat = self._retries.find(run, failure, ended.result.retry_after_seconds)
            if repeat is not None:
                return repeat
        outcome = Outcome(result=ended.result.text or None)
        try:
            with span("task.record"):
                outcome = await self._record(run, prepared, ended, outcome, hidden)
        except Stopped as stopped:
            log.warning("run.not_recorded", error="it takes too long")
            return self.early(run, ended.stopped or stopped.reason, outcome, ended)
        except (CodeforgeError, OSError) as error:  # an agent can do a lot to its own tree
            log.warning("run.not_recorded", error=str(error))
            failure = failure or failures.of_error(error)
        if ended.stopped is Stop.PAUSE:
            ran_seconds -= ended.frozen_seconds
            return Suspended(outcome=replace(outcome, result=None), ran_seconds=ran_seconds)
        if ended.stopped is not None:
            return self.early(run, ended.stopped, outcome, ended)
        return outcome if failure is None else self._retries.fail(run, failure, outcome)

    def early(
        self,
        run: Run,
        reason: EndedBy,
        outcome: Outcome | None = None,
        ended: Ended | None = None,
    ) -> End:
        """
        The end of a run that *reason* ended, with the *outcome* it has so far.

        Raises:
            Fenced: nothing of this run counts.
        """
        outcome = outcome or Outcome()
        log_tail = ended.log_tail if ended else ""
        match reason:
            case Stop.FENCED:
                raise Fenced("The lease is lost.")
            case Stop.OUTAGE | Stop.SHUTDOWN | Stop.ESCALATED:
                return HandBack(reason=reason.value)
            case Stop.PAUSE:
                return Suspended(outcome=outcome, ran_seconds=self._ran_seconds(run))
            case Stop.CANCEL:
                run.recorder.add(new_event("system", "task_cancelled", {}))
                return replace(outcome, failure=failures.CANCELED)
            case LimitKind.REPEATS:
                repeated = ended.repeated if ended else None
                return replace(outcome, failure=failures.of_repeats(repeated, log_tail))
            case Standing():
                return replace(outcome, failure=_over_budget(run, reason, log_tail))
            case LimitKind.TOTAL | LimitKind.SILENCE:
                seconds = run.limits.seconds(reason)
                told = {"timeout_seconds": seconds, "kind": reason.value}
                run.recorder.add(new_event("system", "task_timeout", told))
                failure = failures.of_limit(reason, seconds, log_tail)
                return self._retries.fail(run, failure, outcome)

    def of_error(self, run: Run, error: Exception) -> End:
        """The end of a run that an exception broke off."""
        return self._retries.fail(run, failures.of_error(error), Outcome())

    async def _record(
        self, run: Run, prepared: Prepared, ended: Ended, outcome: Outcome, hidden: Sequence[str]
    ) -> Outcome:
        """*outcome* with the work. Raises Stopped: it takes too long; else as `keep_work`."""
        step = keep_work(
            run, prepared, ended.result, outcome, workspaces=self._workspaces, hidden=hidden
        )
        left = run.limits.seconds_left(self._clock.monotonic())
        return await until_stopped(
            step, run.hold.stopped, seconds=max(_RECORD_SECONDS, left), grace=_record_grace
        )

    def _ran_seconds(self, run: Run) -> float:
        """How much of the run's time this attempt has used."""
        left = run.limits.deadline - self._clock.monotonic()
        return max(0.0, run.claim.allowed_seconds - left)


def _failure_of(run: Run, ended: Ended) -> Failure | None:
    """What the agent failed by; a budget at which the CLI stopped by itself is said as ours."""
    if ended.stopped is None and ended.result.ending is Ending.BUDGET_EXCEEDED:
        own = run.spending.standing(str((ended.result.detail or {}).get("budget")))
        if own is not None:
            return _over_budget(run, own, ended.log_tail)
    return failures.of_agent(ended.result, ended.log_tail)


def _over_budget(run: Run, over: Standing, log_tail: str) -> Failure:
    run.recorder.add(new_event("control", "budget_exceeded", members_of(over)))
    return failures.of_budget(over, log_tail)


def _record_grace(reason: Stop) -> float:
    """Somebody waits for a run's end; a pause must not cost what the run has done."""
    return _RECORD_SECONDS if reason is Stop.PAUSE else _RECORD_GRACE_SECONDS
