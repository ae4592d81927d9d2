"""
From what went wrong to the failure a client reads, and whether the run repeats by itself. Pure.

Every error that a capability raises on purpose carries its reason as `code`; anything else is
ours, and says so without its details.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from internal.agent.model import AgentResult, Ending, Fault
from internal.control.budget import Standing, members_of
from internal.control.retry import FailureClass
from internal.errors import CodeforgeError
from internal.redact import KNOWN
from internal.task.model import Failure, Reason
from internal.worker.watchdog import LimitKind

_LOG_TAIL_CHARS = 4_000

_OF_THE_AGENT = frozenset({Reason.AGENT_FAILED, Reason.TIMEOUT, Reason.IDLE_TIMEOUT})
_LASTING = FailureClass.LASTING

CANCELED = Failure(reason=Reason.CANCELED, message="cancelled by user")

_ENDINGS = {
    Ending.FAILED: Reason.AGENT_FAILED,
    Ending.RATE_LIMITED: Reason.RATE_LIMITED,
    Ending.QUOTA_EXHAUSTED: Reason.QUOTA_EXHAUSTED,
    Ending.AUTH_FAILED: Reason.AUTH_FAILED,
    Ending.BUDGET_EXCEEDED: Reason.BUDGET_EXCEEDED,
    Ending.SESSION_LOST: Reason.AGENT_FAILED,
    Ending.STOPPED: Reason.AGENT_FAILED,
}


def of_error(error: Exception) -> Failure:
    """The failure that an exception stands for; its message is without the secrets in use."""
    if not isinstance(error, CodeforgeError):
        message = "the worker failed; its log has the cause"
        return Failure(reason=Reason.INTERNAL_ERROR, message=message)
    message = KNOWN.redact(error.message)
    if error.error_code not in set(Reason):
        return Failure(reason=Reason.INTERNAL_ERROR, message=message)
    reason = Reason(error.error_code)
    retryable = reason is Reason.DISK_FULL or bool(getattr(error, "retryable", False))
    return Failure(reason=reason, message=message, retryable=retryable)


def of_limit(kind: LimitKind, seconds: int, log_tail: str = "") -> Failure:
    """The failure of a run that reached a limit."""
    reason, message = Reason.TIMEOUT, f"timed out after {seconds} s"
    if kind is LimitKind.SILENCE:
        reason = Reason.IDLE_TIMEOUT
        message = f"timed out: no output from the agent for {seconds} s"
    return Failure(reason=reason, message=message, detail=_with_tail({}, log_tail))


def of_repeats(repeated: tuple[str, int] | None, log_tail: str = "") -> Failure:
    """The failure of a run that was ended because its agent did the same again and again."""
    tool, times = repeated or ("", 0)
    return Failure(
        reason=Reason.AGENT_FAILED,
        message=f"the agent called {tool} {times} times in a row with the same input",
        detail=_with_tail({"repeats": times, "tool": tool}, log_tail),
    )


def of_budget(over: Standing, log_tail: str = "") -> Failure:
    """The failure of a run that a budget ended; what is to be raised is named."""
    name = f"{over.budget} of {over.scope}" if over.scope else f"config.{over.budget}"
    return Failure(
        reason=Reason.BUDGET_EXCEEDED,
        message=f"the budget {name} is used up ({over.told})",
        detail=_with_tail(members_of(over), log_tail),
    )


def of_agent(result: AgentResult, log_tail: str) -> Failure | None:
    """The failure an agent's end stands for, None when it did its work."""
    if result.ending is Ending.COMPLETED:
        return None
    reason = _ENDINGS[result.ending]
    return Failure(
        reason=reason,
        message=result.message or "the agent failed",
        retryable=reason is Reason.RATE_LIMITED or result.fault is Fault.ENDPOINT,
        detail=_with_tail(result.detail or {}, log_tail),
    )


def class_of(failure: Failure) -> FailureClass:
    """Whether such a failure may pass by itself, is the agent's own, or lasts."""
    if failure.retryable:
        return FailureClass.PASSING
    reached_limit = "limit" in (failure.detail or {})  # it would reach it again
    return FailureClass.AGENT if failure.reason in _OF_THE_AGENT and not reached_limit else _LASTING


def _with_tail(detail: Mapping[str, Any], log_tail: str) -> Mapping[str, Any] | None:
    told = {"log_tail": log_tail[-_LOG_TAIL_CHARS:]} if log_tail else {}
    return {**detail, **told} or None
