"""Documents between Redis and the dataclasses."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internal.agent.model import Usage
from internal.git.model import Changes
from internal.task import codec
from internal.task.codec import decode_iterations, decode_task
from internal.task.model import Failure, Iteration, Outcome, Reason, Task, TaskConfig, Wait, Work
from internal.task.outcome import finish_args
from internal.task.state import State

CONFIG = TaskConfig(cli="demo", timeout_seconds=300, silence_seconds=600, target_branch="maïn")
DOCUMENT = {
    "id": "t1",
    "tenant": "default",
    "status": "running",
    "repo_url": "https://example.org/r",
    "prompt": "do it",
    "iteration": "2",
    "created_at": "1795100000000",
    "priority": "high",
    "labels": '{"a":"b"}',
    "config": codec.encode_config(CONFIG),
    "usage": codec.EMPTY_USAGE,
    "usage_total": codec.EMPTY_USAGE,
    "started_at": "1795100001500",
    "seq": "7",
}
counts = st.integers(0, 10**9)


def test_a_document_becomes_a_task() -> None:
    """What is not stored is None or zero, times are aware and UTC."""
    task = decode_task({**DOCUMENT, "cancel": "1", "wait_reason": "cap"})

    assert (task.status, task.iteration, task.last_event) == (State.RUNNING, 2, 7)
    assert task.config == CONFIG
    assert task.labels == {"a": "b"}
    assert task.started_at == datetime(2026, 11, 19, 14, 53, 21, 500_000, tzinfo=UTC)
    assert task.wait == Wait(reason="cap")
    assert task.cancel_requested
    assert (task.result, task.failure, task.changes, task.finished_at) == (None, None, None, None)
    assert task.iterations is None


def test_the_document_speaks_for_the_newest_iteration() -> None:
    """Until another run begins, its row has only what no field of the document tells."""
    rows = {
        "1.prompt": "do it",
        "1.status": "completed",
        "1.result": "old",
        "2.prompt": "and now?",
        "2.changes": '{"files_modified":1,"diff_stats":"+0 -0"}',
    }
    done = {**DOCUMENT, "status": "failed", "result": "new", "finished_at": "1795100002500"}

    first, second = decode_iterations(rows, done)

    assert (first.status, first.result, first.started_at) == (State.COMPLETED, "old", None)
    assert (second.status, second.result) == (State.FAILED, "new")
    assert second.changes == Changes(files_modified=1)
    assert second.started_at is not None
    assert second.ended_at is not None
    assert decode_task(done, rows).iterations == (first, second)


def test_the_row_of_an_iteration_wins_over_the_document() -> None:
    """A pull request's states are none of the iteration's."""
    rows = {"2.prompt": "p", "2.status": "completed"}

    (row,) = decode_iterations(rows, {**DOCUMENT, "status": "creating_pr"})

    assert isinstance(row, Iteration)
    assert row.status is State.COMPLETED


@given(st.builds(Usage, input_tokens=counts, cost_usd=st.floats(0, 1e6), model=st.text()))
def test_usage_survives_the_round_trip(usage: Usage) -> None:
    """Whatever numbers and model names there are."""
    assert codec.decode_usage(codec.encode_usage(usage)) == usage


@given(st.builds(Changes, files_created=counts, insertions=counts, deletions=counts))
def test_changes_survive_the_round_trip(changes: Changes) -> None:
    """With `diff_stats` for the API, which is derived when read."""
    assert codec.decode_changes(codec.encode_changes(changes)) == changes
    assert json.loads(codec.encode_changes(changes))["diff_stats"] == changes.diff_stats


@given(
    reason=st.sampled_from(Reason),
    message=st.text(),
    retryable=st.booleans(),
    detail=st.none() | st.dictionaries(st.text(), st.integers(), min_size=1),
)
def test_a_failure_survives_the_round_trip(
    reason: Reason, message: str, retryable: bool, detail: dict[str, int] | None
) -> None:
    """Its reason decides, so it must never change."""
    failure = Failure(reason=reason, message=message, retryable=retryable, detail=detail)

    assert codec.decode_failure(codec.encode_failure(failure)) == failure


@given(st.builds(Work, session_id=st.none() | st.text(), truncated=st.booleans()))
def test_work_survives_the_round_trip(work: Work) -> None:
    """Only recorded work is ever read."""
    assert codec.decode_work(codec.encode_work(work)) == work


def test_nothing_is_the_empty_text() -> None:
    """The scripts write no field for it."""
    assert codec.encode_changes(None) == ""
    assert codec.encode_failure(None) == ""
    assert codec.encode_work(None) == ""
    assert codec.decode_usage(None) == Usage()
    assert codec.decode_changes("") is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, None, "many", 10**40])
def test_an_agents_number_becomes_one_that_can_be_counted(value: object) -> None:
    """Never negative, never beyond 1e12, never without a value."""
    broken = Usage(input_tokens=value, cost_usd=value, turns=value)  # type: ignore[arg-type]  # as a broken CLI says it

    args = finish_args(_task(), Outcome(usage=broken))

    told = json.loads(args[5])
    assert isinstance(args[8], str)
    amounts = [float(amount) for amount in args[8].split()]
    assert len(amounts) == 6
    assert all(0 <= amount <= 1e12 for amount in amounts)
    assert told["input_tokens"] == amounts[0]
    assert json.loads(args[6])["turns"] == told["turns"]


@given(result=st.text(max_size=40_000))
def test_the_end_of_a_run_is_valid_json_wherever_it_is_told(result: str) -> None:
    """The final event has 2,000 characters of the result, the webhook 16 KiB and says so."""
    args = finish_args(_task(), Outcome(result=result))

    event, members = args[15], args[16]
    assert isinstance(members, str)
    webhook = json.loads(f'{{"x":0{members}}}')
    assert json.loads(event)["result"] == result[:2_000]
    cut = len(result.encode()) > 16 * 1024
    assert webhook.get("result_truncated", False) == cut
    if not cut:
        assert webhook.get("result", "") == result


@given(message=st.text(min_size=1, max_size=20_000))
def test_the_webhook_of_a_failure_is_small_however_much_was_said(message: str) -> None:
    """Its error has at most 2 KiB, the same in both places; the document has the whole message."""
    failure = Failure(reason=Reason.AGENT_FAILED, message=message, detail={"exit": 1})

    args = finish_args(_task(), Outcome(failure=failure))

    webhook = json.loads(f'{{"x":0{args[16]!s}}}')
    assert json.loads(args[2])["message"] == message
    assert len(webhook["error"].encode()) <= 2_048
    assert message.startswith(webhook["error"])
    assert webhook["failure"]["message"] == webhook["error"]
    assert webhook["failure"]["reason"] == "agent_failed"


def _task() -> Task:
    return decode_task(DOCUMENT)
