"""
What a worker reports at the end of a run, as the arguments of FINISH.

Every nested value is encoded once, however often it is told: in the document, in the final event
and in the webhook.
"""

from __future__ import annotations

from dataclasses import dataclass

from internal.task.codec import (
    encode_changes,
    encode_failure,
    encode_usage,
    encode_work,
    storable,
)
from internal.task.event import encode
from internal.task.model import Outcome
from internal.task.state import State

_RESULT_IN_EVENT = 2_000
_RESULT_IN_WEBHOOK_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class _Told:
    result: str
    error: str
    """As JSON; "" when the run completed."""
    failure: str
    changes: str
    usage: str


def finish_args(outcome: Outcome, iteration: int) -> list[str | bytes]:
    """FINISH's ARGV 4-15."""
    failure, work = outcome.failure, outcome.work
    told = _Told(
        result=storable(outcome.result or ""),
        error=encode(failure.message) if failure else "",
        failure=encode_failure(failure),
        changes=encode_changes(outcome.changes),
        usage=encode_usage(outcome.usage),
    )
    return [
        State.FAILED.value if failure else State.COMPLETED.value,
        failure.reason.value if failure else "",
        told.failure,
        told.result,
        told.changes,
        told.usage,
        encode_work(work),
        work.home if work else "",
        "1" if work and work.truncated else "0",
        outcome.stored_diff or b"",
        _event_data(told, iteration),
        _webhook_members(told),
    ]


def _event_data(told: _Told, iteration: int) -> str:
    if told.failure:
        return f'{{"error":{told.error},"failure":{told.failure},"iteration":{iteration}}}'
    return (
        f'{{"result":{encode(told.result[:_RESULT_IN_EVENT])},'
        f'"changes_summary":{told.changes or "null"},"usage":{told.usage},'
        f'"iteration":{iteration}}}'
    )


def _webhook_members(told: _Told) -> str:
    members: list[str] = []
    if told.result:
        cut = told.result.encode()[:_RESULT_IN_WEBHOOK_BYTES].decode(errors="ignore")
        members.append(f',"result":{encode(cut)}')
        if cut != told.result:
            members.append(',"result_truncated":true')
    if told.failure:
        members.append(f',"error":{told.error},"failure":{told.failure}')
    if told.changes:
        members.append(f',"changes_summary":{told.changes}')
    members.append(f',"usage":{told.usage}')
    return "".join(members)
