"""
A claim's whole way to its report: whatever happens, its end is told to Redis until it answers.

Each report has one operation id over all its repeats, so a lost reply changes nothing. A cancel
that was accepted meanwhile wins: the run is then reported as canceled, with its work.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from internal.agent.model import NO_USAGE, Usage
from internal.errors import Fenced
from internal.fault import fault_point
from internal.task.event import NewEvent, new_event
from internal.task.fenced import CancelAccepted
from internal.task.model import Claim, Failure, Outcome, Reason
from internal.task.pullrequest import NotPublished, Published
from internal.task.queue import TaskQueue
from internal.telemetry.tracing import Span, span
from internal.worker.failure import CANCELED
from internal.worker.lease import Stop
from internal.worker.patience import until_written
from internal.worker.recorder import Recorder
from internal.worker.spans import attempt_span

log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HandBack:
    """Give the task back; `repeat` counts it as one of the run's own repeats."""

    reason: str
    delay_seconds: float = 0.0
    repeat: bool = False
    quota: bool = False
    """It counts as a wait for a provider's quota."""
    gate: str = ""
    """Where it waits, while that is shut."""
    usage: Usage = NO_USAGE
    """What the attempt has used all the same."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """The run is paused: `outcome` is what it has so far, `ran_seconds` how long it ran."""

    outcome: Outcome
    ran_seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Parked:
    """The task waits at a gate since its worker asked there: nothing is left to report."""


End = Outcome | Suspended | Published | NotPublished | HandBack | Parked
"""How an attempt ends; the first two of a run of the agent, the next two of a create-pr."""

_RESULTS: Mapping[type[End], str] = {
    Outcome: "completed",
    Suspended: "paused",
    Published: "pr_created",
    NotPublished: "pr_failed",
    HandBack: "handed_back",
    Parked: "parked",
}


def with_usage(end: End, usage: Usage) -> End:
    """*end* with what the attempt has used, however it came about."""
    match end:
        case Outcome() | HandBack():
            return dataclasses.replace(end, usage=usage)
        case Suspended():
            outcome = dataclasses.replace(end.outcome, usage=usage)
            return dataclasses.replace(end, outcome=outcome)
        case Published() | NotPublished() | Parked():
            return end


Attempt = Callable[[Recorder], Awaitable[End]]

_LAST_WORD_SECONDS = 5.0


async def run_reported(queue: TaskQueue, claim: Claim, attempt: Attempt) -> bool:
    """
    Make an *attempt* and report its end; whether the run was recorded (not handed back, not lost).

    Only cancellation gets out, the task handed back.
    """
    with attempt_span(claim) as current:
        return await _run_reported(queue, claim, attempt, current)


async def _run_reported(queue: TaskQueue, claim: Claim, attempt: Attempt, current: Span) -> bool:
    try:
        log.info("run.started", run=_name(claim), attempt=claim.attempt)
        async with Recorder(queue, claim) as recorder:
            end = await attempt(recorder)
            _tell_span(current, end)
            await recorder.flush()
            fault_point("report_begun")
            with span("task.report"):
                return await report(queue, claim, end, recorder.tail)
    except asyncio.CancelledError:
        await _give_up(queue, claim)
        raise
    except Fenced:
        log.warning("run.fenced")
        current.fail("fenced")
    except Exception:  # the slot must live
        log.exception("run.broken")
        current.fail("internal_error")
        return await _report_broken(queue, claim)
    return False


async def report(queue: TaskQueue, claim: Claim, end: End, tail: Sequence[NewEvent] = ()) -> bool:
    """
    Report the end of a claim; whether anything was recorded (it was not handed back).

    Raises:
        Fenced: nothing of this run counts.
    """
    try:
        await until_written(lambda operation: _tell(queue, claim, end, operation, tail))
    except CancelAccepted:
        said = (*tail, new_event("system", "task_cancelled", {}))
        canceled = _canceled(claim, end)
        await until_written(lambda operation: _tell(queue, claim, canceled, operation, said))
        end = canceled
    log.info("run.ended", run=_name(claim), **_how(end))
    match end:
        case HandBack() | Parked():
            return False
        case Suspended():
            return end.outcome.work is not None
        case _:
            return True


def _name(claim: Claim) -> str:
    return "create_pr" if claim.publish else "agent"


def _how(end: End) -> dict[str, str]:
    """How a run ended, without its message: that is the client's, and may quote the agent."""
    match end:
        case Outcome(failure=Failure() as failure):
            return {"result": "failed", "reason": failure.reason.value}
        case NotPublished() | HandBack():
            return {"result": _RESULTS[type(end)], "reason": end.reason}
        case _:
            return {"result": _RESULTS[type(end)]}


def _tell_span(current: Span, end: End) -> None:
    match end:
        case Outcome(failure=Failure() as failure):
            current.fail(failure.reason.value, failure.message)
        case NotPublished():
            current.fail(end.reason, end.message)
        case HandBack():
            current.fail("handed_back", end.reason)
        case _:
            pass


async def _tell(
    queue: TaskQueue, claim: Claim, end: End, operation: str, tail: Sequence[NewEvent]
) -> None:
    match end:
        case Outcome():
            await queue.finish(claim, end, operation, tail)
            fault_point("finished")
        case Suspended():
            await queue.suspend(
                claim, end.outcome, operation, ran_seconds=end.ran_seconds, tail=tail
            )
            fault_point("suspended")
        case Published() | NotPublished():
            await queue.finish_pr(claim, end, operation)
            fault_point("pr_finished")
        case HandBack():
            await queue.hand_back(
                claim,
                operation,
                reason=end.reason,
                delay_seconds=end.delay_seconds,
                repeat=end.repeat,
                quota=end.quota,
                gate=end.gate,
                usage=end.usage,
            )
            fault_point("handed_back")
        case Parked():
            pass  # the script that said so has done it


async def _give_up(queue: TaskQueue, claim: Claim) -> None:
    """Hand a cancelled run back, if that can be told soon: else it costs the task a life."""
    # In a task of its own, because this one is cancelled.
    saying = asyncio.create_task(report(queue, claim, HandBack(reason=Stop.SHUTDOWN)))
    await asyncio.wait({saying}, timeout=_LAST_WORD_SECONDS)
    saying.cancel()
    (outcome,) = await asyncio.gather(saying, return_exceptions=True)
    log.warning("run.cancelled", handed_back=outcome is False)


async def _report_broken(queue: TaskQueue, claim: Claim) -> bool:
    """End a run whose own report could not be made; without it, it would run for ever."""
    message = "the run could not be reported"
    end: End = Outcome(failure=Failure(reason=Reason.INTERNAL_ERROR, message=message))
    if claim.publish:
        end = NotPublished(reason=Reason.INTERNAL_ERROR, message=message)
    try:
        return await report(queue, claim, end)
    except Exception:
        log.exception("run.unreported")  # its lease runs out, and the reaper takes it back
        return False


def _canceled(claim: Claim, end: End) -> Outcome | NotPublished:
    if claim.publish:
        return NotPublished(reason=CANCELED.reason, message=CANCELED.message)
    if isinstance(end, Suspended):
        end = end.outcome
    if isinstance(end, Outcome):
        return dataclasses.replace(end, failure=CANCELED, exhausted=False)
    used = end.usage if isinstance(end, HandBack) else NO_USAGE
    return Outcome(failure=CANCELED, usage=used)
