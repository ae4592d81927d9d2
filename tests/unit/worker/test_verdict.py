"""What the end of an attempt says of program, endpoint and key, and what it does not say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from internal.agent.model import AgentResult, Ending, Fault
from internal.control.outcome import OutcomeRules
from internal.task.queue import TaskQueue
from internal.worker.admission import Admitted
from internal.worker.lease import Stop
from internal.worker.secrets import Secrets
from internal.worker.supervision import Ended
from internal.worker.verdict import Judge, Verdict
from internal.worker.watchdog import LimitKind

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AGENT, HOST, QUOTA = "breaker:agent:x", "breaker:endpoint:h", "quota:t:0123"


class _Still:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def weigh(
    *,
    stopped: Stop | LimitKind | None = None,
    waits: int = 0,
    has_next: bool = False,
    **result: Any,
) -> Verdict:
    """The verdict on such an end."""
    judge = Judge(cast("TaskQueue", None), OutcomeRules(), _Still())
    admitted = Admitted(
        secrets=Secrets(), agent=AGENT, endpoint=HOST, quota=QUOTA, has_next=has_next
    )
    ended = Ended(result=AgentResult(**result), stopped=stopped, log_tail="")
    return judge.weigh(ended, admitted, waits=waits)


def failed_of(verdict: Verdict) -> dict[str, bool]:
    """Gate to whether it counts as a failure."""
    return {sample.key: sample.failed for sample in verdict.judgement.samples}


def shut_of(verdict: Verdict) -> dict[str, float]:
    """Gate to the seconds it is shut for."""
    return {shut.key: shut.seconds for shut in verdict.judgement.shut}


def test_a_success_speaks_well_of_everything() -> None:
    """And says how long the first answer took."""
    verdict = weigh(ending=Ending.COMPLETED, first_answer_seconds=61.0)

    assert failed_of(verdict) == {AGENT: False, HOST: False}
    assert [sample.slow for sample in verdict.judgement.samples] == [False, True]
    assert set(verdict.judgement.works) == {AGENT, HOST, QUOTA}


@pytest.mark.parametrize(
    ("fault", "counted"), [(Fault.PROGRAM, {AGENT: True}), (Fault.ENDPOINT, {HOST: True})]
)
def test_a_fault_counts_where_it_lies(fault: Fault, counted: dict[str, bool]) -> None:
    """And nowhere else: an overloaded endpoint says nothing of the key."""
    for ending in (Ending.FAILED, Ending.RATE_LIMITED):
        verdict = weigh(ending=ending, fault=fault, retry_after_seconds=9.0)

        assert failed_of(verdict) == counted
        assert (shut_of(verdict), verdict.quota_seconds) == ({}, None)


@pytest.mark.parametrize(
    "ending", [Ending.FAILED, Ending.AUTH_FAILED, Ending.BUDGET_EXCEEDED, Ending.SESSION_LOST]
)
def test_a_failure_of_its_own_says_nothing(ending: Ending) -> None:
    """A hard task, a wrong key and a budget are no reason to keep others away."""
    assert not weigh(ending=ending).judgement


@pytest.mark.parametrize("stopped", [*Stop, *LimitKind])
def test_what_we_ended_says_nothing(stopped: Stop | LimitKind) -> None:
    """A cancel, a limit that somebody chose, a worker that stops."""
    assert not weigh(ending=Ending.STOPPED, stopped=stopped).judgement
    assert not weigh(ending=Ending.FAILED, fault=Fault.PROGRAM, stopped=stopped).judgement


def test_a_quota_with_an_end_shuts_the_key_and_is_waited_for() -> None:
    """Whether there is another key or not; an end too far away is a failure without one."""
    soon, far = NOW + timedelta(hours=1), NOW + timedelta(hours=7)

    for has_next in (False, True):
        verdict = weigh(ending=Ending.QUOTA_EXHAUSTED, resets_at=soon, has_next=has_next)
        assert (shut_of(verdict), verdict.quota_seconds) == ({QUOTA: 3600}, 3600)
    verdict = weigh(ending=Ending.QUOTA_EXHAUSTED, resets_at=far)
    assert (shut_of(verdict), verdict.quota_seconds) == ({}, None)


def test_a_quota_without_an_end_needs_another_key() -> None:
    """That one is left alone for a while; without another one the run fails, and nobody waits."""
    with_next = weigh(ending=Ending.QUOTA_EXHAUSTED, has_next=True)
    alone = weigh(ending=Ending.QUOTA_EXHAUSTED)

    assert (shut_of(with_next), with_next.quota_seconds) == ({QUOTA: 900}, 900)
    assert (shut_of(alone), alone.quota_seconds) == ({}, None)


def test_a_rate_limit_keeps_others_away_and_repeats_or_takes_the_next_key() -> None:
    """For as long as the other side asked."""
    alone = weigh(ending=Ending.RATE_LIMITED, retry_after_seconds=20.0)
    with_next = weigh(ending=Ending.RATE_LIMITED, retry_after_seconds=20.0, has_next=True)

    assert (shut_of(alone), alone.quota_seconds) == ({QUOTA: 20}, None)
    assert (shut_of(with_next), with_next.quota_seconds) == ({QUOTA: 20}, 20)


def test_nobody_waits_for_ever() -> None:
    """An agent may name a time each time."""
    soon = NOW + timedelta(seconds=1)

    verdict = weigh(ending=Ending.QUOTA_EXHAUSTED, resets_at=soon, waits=10)

    assert verdict.quota_seconds is None
