"""What went wrong, as the client reads it, and whether it repeats by itself."""

from __future__ import annotations

from random import Random

import pytest

from internal.agent.model import AgentResult, Ending
from internal.errors import CodeforgeError, DiskFull, NotFound, PolicyDenied
from internal.git.failure import AuthFailed, CloneFailed, RepoNotFound
from internal.task.model import Failure, Reason
from internal.worker import failure as failures
from internal.worker.agents import AgentUnavailable
from internal.worker.watchdog import LimitKind


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (CloneFailed("the network", retryable=True), Reason.CLONE_FAILED, True),
        (CloneFailed("unknown host key"), Reason.CLONE_FAILED, False),
        (RepoNotFound("nothing there"), Reason.REPO_NOT_FOUND, False),
        (AuthFailed("a token"), Reason.AUTH_FAILED, False),
        (DiskFull("no room"), Reason.DISK_FULL, True),
        (PolicyDenied("not there"), Reason.POLICY_DENIED, False),
        (AgentUnavailable("no such CLI"), Reason.AGENT_MISSING, False),
        (NotFound("the task"), Reason.INTERNAL_ERROR, False),
    ],
)
def test_an_error_of_ours_keeps_its_reason_and_message(
    error: CodeforgeError, reason: Reason, retryable: bool
) -> None:
    """Its code is the reason, where it is one."""
    found = failures.of_error(error)

    assert (found.reason, found.message, found.retryable) == (reason, error.message, retryable)


def test_an_error_that_nobody_expected_is_not_shown() -> None:
    """Its text may hold anything; the log has it."""
    found = failures.of_error(RuntimeError("the secret is xyzzy"))

    assert found.reason is Reason.INTERNAL_ERROR
    assert "xyzzy" not in found.message


@pytest.mark.parametrize("kind", list(LimitKind))
def test_a_limit_says_timed_out_and_keeps_the_end_of_the_log(kind: LimitKind) -> None:
    """Clients look for these words."""
    found = failures.of_limit(kind, 7, "x" * 5000 + "the end")

    assert "timed out" in found.message
    assert "7 s" in found.message
    assert found.detail is not None
    assert found.detail["log_tail"].endswith("the end")
    assert len(found.detail["log_tail"]) == 4000


@pytest.mark.parametrize("ending", [ending for ending in Ending if ending is not Ending.COMPLETED])
def test_every_bad_end_of_an_agent_is_a_failure(ending: Ending) -> None:
    """None passes for success."""
    found = failures.of_agent(AgentResult(ending=ending, text="", message="no"), "tail")

    assert found is not None
    assert found.message == "no"
    assert found.detail == {"log_tail": "tail"}
    assert found.retryable == (ending is Ending.RATE_LIMITED)


def test_only_what_may_pass_repeats_by_itself_and_at_most_three_times() -> None:
    """Full jitter over 5 s * 4^n, and never before the other side asked."""
    passing = Failure(reason=Reason.DISK_FULL, message="", retryable=True)
    lasting = Failure(reason=Reason.AUTH_FAILED, message="")

    def delays(failure: Failure, repeats: int, asked: float | None = None) -> list[float | None]:
        random = Random(1)  # noqa: S311 -- the same each time
        return [
            failures.repeat_delay(failure, repeats=repeats, asked_seconds=asked, random=random)
            for _ in range(200)
        ]

    for repeats, longest in ((0, 5), (1, 20), (2, 80)):
        found = [delay or 0 for delay in delays(passing, repeats)]
        assert 1 <= min(found) <= max(found) <= longest
        assert max(found) > longest * 0.8
    assert set(delays(passing, 3)) == {None}
    assert set(delays(lasting, 0)) == {None}
    assert {delay or 0 for delay in delays(passing, 0, asked=60)} == {60}


@pytest.mark.parametrize(("retryable", "repeats"), [(True, 2), (False, 3)])
def test_only_what_used_up_its_repeats_is_exhausted(retryable: bool, repeats: int) -> None:
    """What repeats once more is not at its end, what never repeats used up nothing."""
    failure = Failure(reason=Reason.RATE_LIMITED, message="slow down", retryable=retryable)

    assert not failures.is_exhausted(failure, repeats=repeats)
    spent = Failure(reason=Reason.RATE_LIMITED, message="slow down", retryable=True)
    assert failures.is_exhausted(spent, repeats=3)
