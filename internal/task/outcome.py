"""
What a worker reports at the end of a run, as the arguments of FINISH and FINISH_PR.

Every nested value is encoded once, however often it is told: in the document, in the final event
and in the webhook.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from internal.agent.model import NO_USAGE, Usage
from internal.agent.usage import added, sane
from internal.task.codec import (
    encode_changes,
    encode_failure,
    encode_options,
    encode_usage,
    encode_work,
    storable,
)
from internal.task.event import encode
from internal.task.model import Failure, Outcome, Task
from internal.task.pullrequest import NotPublished, Published, PullRequestOptions
from internal.task.state import State

_RESULT_IN_EVENT = 2_000
_RESULT_IN_WEBHOOK_BYTES = 16 * 1024
_ERROR_IN_WEBHOOK_BYTES = 2 * 1024


@dataclass(frozen=True, slots=True)
class _Told:
    result: str
    error: str
    """As JSON; "" when the run completed."""
    failure: str
    changes: str
    usage: str


def usage_args(task: Task, usage: Usage) -> list[str]:
    """
    What an attempt has used, alone and with all before it, as the scripts' `spend` has it.

    *task* is as it was when it was claimed: only the holder of the claim adds to its usage. What
    its iteration had used then was used before a pause.
    """
    usage = sane(usage)
    total, iteration = added(task.usage_total, usage), added(task.usage, usage)
    amounts = (
        *(usage.input_tokens, usage.output_tokens),
        *(usage.cache_read_tokens, usage.cache_creation_tokens, usage.unpriced_tokens),
    )
    return [
        encode_usage(iteration),
        encode_usage(total),
        task.config.cli,
        f"{' '.join(map(str, amounts))} {usage.cost_usd:.6f}",
        str(iteration.unpriced_tokens),
        str(total.unpriced_tokens),
    ]


def finish_args(task: Task, outcome: Outcome) -> list[str | bytes]:
    """FINISH's ARGV 4-21. *task* is as it was when it was claimed."""
    failure, work = _marked(outcome), outcome.work
    is_told = outcome.usage == NO_USAGE
    usage = [""] * 6 if is_told else usage_args(task, outcome.usage)
    told = _Told(
        result=storable(outcome.result or ""),
        error=encode(failure.message) if failure else "",
        failure=encode_failure(failure),
        changes=encode_changes(outcome.changes),
        usage=encode(added(task.usage, sane(outcome.usage)).members()),
    )
    return [
        _ending(outcome),
        failure.reason.value if failure else "",
        told.failure,
        told.result,
        told.changes,
        *usage,
        encode_work(work),
        work.home if work else "",
        "1" if work and work.truncated else "0",
        outcome.stored_diff or b"",
        _event_data(told, task.iteration),
        _webhook_members(told, failure, is_letter=outcome.exhausted),
        _next_pull_request(task, outcome),
    ]


def suspend_args(task: Task, outcome: Outcome) -> list[str | bytes]:
    """SUSPEND's ARGV 5-15. *task* is as it was when it was claimed."""
    work = outcome.work
    return [
        *([""] * 6 if outcome.usage == NO_USAGE else usage_args(task, outcome.usage)),
        encode_changes(outcome.changes),
        encode_work(work),
        work.home if work else "",
        "1" if work and work.truncated else "0",
        outcome.stored_diff or b"",
    ]


def finish_pr_args(outcome: Published | NotPublished) -> list[str]:
    """FINISH_PR's ARGV 4-9."""
    match outcome:
        case Published():
            made = (outcome.url, str(outcome.number), outcome.branch, str(int(outcome.updated)))
            return [*map(storable, made), "", ""]
        case NotPublished():
            return ["", "", "", "", storable(outcome.reason), storable(outcome.message)]


def _ending(outcome: Outcome) -> str:
    if outcome.failure is None:
        return State.COMPLETED.value
    return "dead" if outcome.exhausted else State.FAILED.value


def _marked(outcome: Outcome) -> Failure | None:
    """The failure; that of a dead letter says so."""
    failure = outcome.failure
    if failure is None or not outcome.exhausted:
        return failure
    return replace(failure, detail={**(failure.detail or {}), "dead_letter": True})


def _next_pull_request(task: Task, outcome: Outcome) -> str:
    """What the create-pr is to have that this run is followed by; "" when none follows."""
    changes = outcome.changes
    is_wanted = task.config.auto_create_pr and outcome.failure is None and outcome.work is not None
    if not is_wanted or changes is None or not changes.files:
        return ""
    return encode_options(PullRequestOptions())


def _event_data(told: _Told, iteration: int) -> str:
    if told.failure:
        return f'{{"error":{told.error},"failure":{told.failure},"iteration":{iteration}}}'
    return (
        f'{{"result":{encode(told.result[:_RESULT_IN_EVENT])},'
        f'"changes_summary":{told.changes or "null"},"usage":{told.usage},'
        f'"iteration":{iteration}}}'
    )


def _webhook_members(told: _Told, failure: Failure | None, *, is_letter: bool) -> str:
    members: list[str] = []
    if told.result:
        result = _cut(told.result, _RESULT_IN_WEBHOOK_BYTES)
        members.append(f',"result":{encode(result)}')
        if result != told.result:
            members.append(',"result_truncated":true')
    if failure:
        # An agent's last words may be long; the document has all of them.
        message = _cut(failure.message, _ERROR_IN_WEBHOOK_BYTES)
        if message != failure.message:
            failure = replace(failure, message=message, detail=None)
        members.append(f',"error":{encode(message)},"failure":{encode_failure(failure)}')
    if is_letter:
        members.append(',"dead_letter":true')
    if told.changes:
        members.append(f',"changes_summary":{told.changes}')
    members.append(f',"usage":{told.usage}')
    return "".join(members)


def _cut(text: str, size: int) -> str:
    """The begin of *text*, at most *size* bytes of UTF-8."""
    return text.encode(errors="replace")[:size].decode(errors="ignore")
