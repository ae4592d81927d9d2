"""
How a run of Claude Code ended: its truth table, as a pure function.

An API failure says `success` with `is_error`; an interrupted run exits with 0; a run refused at
the start prints no line at all. So the last result line, the exit status and stderr are judged
together. Observed in 2.1.197 and 2.1.328.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from internal.agent.ending import describe_exit, is_crash, last_words
from internal.agent.jsonline import as_count, as_list, as_text
from internal.agent.model import Ending, ExitStatus, Fault, Json
from internal.agent.quota import of_epoch, reset_of

_ADVICE = (
    "Give the task an ai_api_key, or the worker ANTHROPIC_API_KEY, CLAUDE_CODE_OAUTH_TOKEN, or"
    " ANTHROPIC_AUTH_TOKEN with ANTHROPIC_BASE_URL."
)
_NO_CREDENTIAL = re.compile(
    r"not logged in|invalid api key|failed to authenticate|please run /login", re.I
)
_NO_QUOTA = re.compile(
    r"credit balance is too low|(?:usage|session|weekly|hour|opus|sonnet) limit reached"
    r"|hit your (?:\w+ )?limit|out of (?:extra )?usage|your limit will reset",
    re.I,
)
_NO_ENDPOINT = re.compile(r"api error: (?:unable to connect|connection (?:error|refused))", re.I)
_NO_ANSWER = frozenset({"connection_failed", "stream_idle_timeout", "timeout"})
"""Why a call of the model failed without a status, in the client's own words."""
_DIAGNOSTIC = "[ede_diagnostic]"  # for its developers: how far an interrupted turn had come
_NO_SESSION = re.compile(r"no conversation found with session id", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The ending, why (empty on success), and what a program may decide by."""

    ending: Ending
    message: str = ""
    detail: Json | None = None
    fault: Fault | None = None
    resets_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultLine:
    """What the verdict needs of a result line; every member may be missing in it."""

    subtype: str = ""
    is_error: bool = False
    text: str = ""
    errors: str = ""
    status: int = 0
    """The model API's HTTP status, 0 when it did not come to that."""
    api_error: str = ""
    """Why the call failed, when it got no status."""
    denied: int = 0
    """Tool calls that were refused; such a run says success."""

    @classmethod
    def read(cls, line: Json) -> ResultLine:
        """Pick the members out of a decoded result line."""
        subtype = as_text(line.get("subtype"))
        errors = map(as_text, as_list(line.get("errors")))
        return cls(
            subtype=subtype,
            is_error=line.get("is_error") is True or subtype.startswith("error"),
            text=as_text(line.get("result")),
            errors="; ".join(e for e in errors if e and not e.startswith(_DIAGNOSTIC)),
            status=as_count(line.get("api_error_status")),
            api_error=as_text(line.get("api_error")),
            denied=len(as_list(line.get("permission_denials"))),
        )


def judge(
    status: ExitStatus, line: ResultLine | None, *, has_text: bool, reset: float = 0
) -> Verdict:
    """
    The verdict on a run that ended with *status*; *line* is its last result line.

    *has_text*: the agent said something. A program that speaks the CLI may leave the result line
    out, but one that said nothing at all did nothing. *reset* is when the account's window opens
    again (seconds since 1970), if a line of the client said that it is used up.
    """
    if status.ended_by is not None:
        return Verdict(ending=Ending.STOPPED, message=f"Ended by us: {status.ended_by}")
    if line is not None and line.is_error:
        return _judge_error(line, status.ended_at, reset)
    if status.code == 0 and (line is not None or has_text):
        detail: Json | None = {"permission_denials": line.denied} if line and line.denied else None
        return Verdict(ending=Ending.COMPLETED, detail=detail)
    words = ResultLine(text=last_words(status))  # there is no line of its own
    verdict = _judge_words(f"Claude Code {describe_exit(status)}", words, status.ended_at, reset)
    if verdict.ending is Ending.FAILED and verdict.fault is None and is_crash(status):
        return replace(verdict, fault=Fault.PROGRAM)
    return verdict


def _judge_error(line: ResultLine, now: datetime | None, reset: float) -> Verdict:
    if line.subtype == "error_max_turns":
        message = "Claude Code reached its limit of turns (max_turns)"
        detail: Json = {"budget": "max_turns"}
        return Verdict(ending=Ending.BUDGET_EXCEEDED, message=message, detail=detail)
    if line.subtype == "error_max_budget_usd":
        message = "Claude Code reached its budget (max_budget_usd)"
        detail = {"budget": "max_budget_usd"}
        return Verdict(ending=Ending.BUDGET_EXCEEDED, message=message, detail=detail)
    said = line.errors or line.text
    if line.subtype == "error_during_execution":
        said = said or "the run was interrupted"
    return _judge_words(f"Claude Code failed: {said or line.subtype}", line, now, reset)


def _judge_words(message: str, line: ResultLine, now: datetime | None, reset: float) -> Verdict:
    status, said = line.status, line.errors or line.text
    detail: Json | None = {"status": status} if status else None
    if _NO_SESSION.search(said):
        return Verdict(ending=Ending.SESSION_LOST, message=message)
    if _NO_QUOTA.search(said) or (status == 429 and reset):
        return Verdict(
            ending=Ending.QUOTA_EXHAUSTED,
            message=message,
            detail=detail,
            resets_at=now and (of_epoch(reset, now) or reset_of(said, now)),
        )
    fault = Fault.ENDPOINT if _speaks_against_endpoint(line, said) else None
    if status in {429, 529}:
        return Verdict(ending=Ending.RATE_LIMITED, message=message, detail=detail, fault=fault)
    if status in {401, 403} or _NO_CREDENTIAL.search(said):
        message = f"{message}. {_ADVICE}"
        return Verdict(ending=Ending.AUTH_FAILED, message=message, detail=detail)
    return Verdict(ending=Ending.FAILED, message=message, detail=detail, fault=fault)


def _speaks_against_endpoint(line: ResultLine, said: str) -> bool:
    if line.status:
        return line.status >= 500 or line.status == 408
    return line.api_error in _NO_ANSWER or bool(_NO_ENDPOINT.match(said))
