"""What went wrong, as the client reads it, and whether it repeats by itself."""

from __future__ import annotations

import pytest

from internal.agent.model import AgentResult, Ending, Fault
from internal.control.retry import FailureClass
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


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure(reason=Reason.DISK_FULL, message="", retryable=True), FailureClass.PASSING),
        (Failure(reason=Reason.AGENT_FAILED, message=""), FailureClass.AGENT),
        (Failure(reason=Reason.TIMEOUT, message=""), FailureClass.AGENT),
        (Failure(reason=Reason.IDLE_TIMEOUT, message=""), FailureClass.AGENT),
        (
            Failure(reason=Reason.AGENT_FAILED, message="", detail={"limit": "max_turns"}),
            FailureClass.LASTING,
        ),
        (Failure(reason=Reason.AUTH_FAILED, message=""), FailureClass.LASTING),
        (Failure(reason=Reason.REPO_NOT_FOUND, message=""), FailureClass.LASTING),
        (Failure(reason=Reason.AGENT_MISSING, message=""), FailureClass.LASTING),
        (Failure(reason=Reason.QUOTA_EXHAUSTED, message=""), FailureClass.LASTING),
        (Failure(reason=Reason.BUDGET_EXCEEDED, message=""), FailureClass.LASTING),
        (failures.CANCELED, FailureClass.LASTING),
    ],
)
def test_weakness_23_each_failure_has_a_class(failure: Failure, kind: FailureClass) -> None:
    """What lasts is never repeated, what the agent did wrong only when the task asks for it."""
    assert failures.class_of(failure) is kind


def test_an_endpoint_that_is_down_passes_and_the_agents_own_failure_does_not() -> None:
    """The same ending, but another cause."""
    own = AgentResult(ending=Ending.FAILED, message="no")
    down = AgentResult(ending=Ending.FAILED, message="no", fault=Fault.ENDPOINT)

    found = [failures.of_agent(result, "") for result in (own, down)]

    assert [failure and failure.retryable for failure in found] == [False, True]
