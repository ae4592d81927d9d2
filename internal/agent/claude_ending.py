"""
How a run of Claude Code ended: its truth table, as a pure function.

An API failure says `success` with `is_error`; an interrupted run exits with 0; a run refused at
the start prints no line at all. So the last result line, the exit status and stderr are judged
together. Observed in 2.1.197 and 2.1.328.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from internal.agent.ending import describe_exit
from internal.agent.jsonline import as_count, as_list, as_text
from internal.agent.model import Ending, ExitStatus, Json

_ADVICE = (
    "Give the task an ai_api_key, or the worker ANTHROPIC_API_KEY, CLAUDE_CODE_OAUTH_TOKEN, or"
    " ANTHROPIC_AUTH_TOKEN with ANTHROPIC_BASE_URL."
)
_NO_CREDENTIAL = re.compile(
    r"not logged in|invalid api key|failed to authenticate|please run /login", re.I
)
_NO_CREDIT = re.compile(r"credit balance is too low|usage limit reached|hit your \w* ?limit", re.I)
_DIAGNOSTIC = "[ede_diagnostic]"  # for its developers: how far an interrupted turn had come
_NO_SESSION = re.compile(r"no conversation found with session id", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The ending, why (empty on success), and what a program may decide by."""

    ending: Ending
    message: str = ""
    detail: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultLine:
    """What the verdict needs of a result line; every member may be missing in it."""

    subtype: str = ""
    is_error: bool = False
    text: str = ""
    errors: str = ""
    status: int = 0
    """The model API's HTTP status, 0 when it did not come to that."""
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
            denied=len(as_list(line.get("permission_denials"))),
        )


def judge(status: ExitStatus, line: ResultLine | None, *, has_text: bool) -> Verdict:
    """
    The verdict on a run that ended with *status*; *line* is its last result line.

    *has_text*: the agent said something. A program that speaks the CLI may leave the result line
    out, but one that said nothing at all did nothing.
    """
    if status.ended_by is not None:
        return Verdict(ending=Ending.STOPPED, message=f"Ended by us: {status.ended_by}")
    if line is not None and line.is_error:
        return _judge_error(line)
    if status.code == 0 and (line is not None or has_text):
        detail: Json | None = {"permission_denials": line.denied} if line and line.denied else None
        return Verdict(ending=Ending.COMPLETED, detail=detail)
    return _judge_words(f"Claude Code {describe_exit(status)}", 0)


def _judge_error(line: ResultLine) -> Verdict:
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
    return _judge_words(f"Claude Code failed: {said or line.subtype}", line.status)


def _judge_words(message: str, status: int) -> Verdict:
    detail: Json | None = {"status": status} if status else None
    if _NO_SESSION.search(message):
        return Verdict(ending=Ending.SESSION_LOST, message=message)
    if _NO_CREDIT.search(message):
        return Verdict(ending=Ending.QUOTA_EXHAUSTED, message=message, detail=detail)
    if status in {429, 529}:
        return Verdict(ending=Ending.RATE_LIMITED, message=message, detail=detail)
    if status in {401, 403} or _NO_CREDENTIAL.search(message):
        message = f"{message}. {_ADVICE}"
        return Verdict(ending=Ending.AUTH_FAILED, message=message, detail=detail)
    return Verdict(ending=Ending.FAILED, message=message, detail=detail)
