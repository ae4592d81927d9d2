"""
The use cases of pull requests: ask for one, learn what became of it, look how it stands.

Making one is a run like any other, in a lane of its own; the HTTP call only waits for it. A run
that ends without one leaves its reason on the task, and here that becomes the error again.
"""

from __future__ import annotations

from dataclasses import dataclass

from internal.errors import (
    CodeforgeError,
    Conflict,
    Invalid,
    NotFound,
    PolicyDenied,
    Unavailable,
    UpstreamFailed,
)
from internal.git.model import FileDiff
from internal.git.remote import Scheme, parse_remote
from internal.ids import random_token
from internal.task.codec import encode_options
from internal.task.model import Iteration, Task, Tenant
from internal.task.ops import ANY_HOME, OpKind, Ops
from internal.task.pullrequest import PullRequestOptions
from internal.task.refusal import REFUSALS, check_changes, check_workflows, refused
from internal.task.service import TaskService
from internal.task.state import FINISHED, State
from internal.task.store import TaskStore

_CONFLICTS = frozenset({"push_rejected", "work_lost", "canceled", "conflict"})
_PASSING = frozenset({"worker_lost", "disk_full", "unavailable", "timeout"})
"""Reasons after which the same request may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestView:
    """A pull request as its host tells it now; `state` is open, merged or closed."""

    number: int
    url: str
    state: str
    branch: str


class Publishing:
    """
    Pull requests of tasks. *allow_workflows* is the setting `git.allow_workflows`.

    Raises `internal.errors`; Redis' own errors pass through.
    """

    def __init__(
        self, store: TaskStore, service: TaskService, ops: Ops, *, allow_workflows: bool
    ) -> None:
        self._store = store
        self._service = service
        self._ops = ops
        self._allow_workflows = allow_workflows

    async def publish(self, tenant: Tenant, task: str, options: PullRequestOptions) -> None:
        """
        Queue a create-pr; the task is `creating_pr` when this returns.

        The same request again, while it is under way, joins it. What the stored diff tells is
        refused here, before anything changes; what only the recorded tree tells, by the run.

        Raises:
            NotFound: no such task.
            Conflict: it is not finished, or failed without work.
            Invalid: the work cannot be published; the code says why (`refusal.REFUSALS`).
        """
        known = await self._service.get(tenant, task, with_iterations=True)
        if known.status in FINISHED:
            await self._refuse(known)
        reply = await self._store.publish(
            f"{tenant}/{task}", random_token(), encode_options(options)
        )
        match reply.word:
            case "missing":
                raise NotFound("There is no such task.")
            case "illegal":
                raise Conflict(f"The task is {reply.rest[0]}; it cannot be published now.")
            case "no_work":
                raise Conflict("The task left no work that could be published.")
            case _:  # ok, or joined to the one under way
                return

    def outcome(self, task: Task) -> bool:
        """
        Whether *task*, read after its create-pr was waited for, has its pull request.

        False when it is not made yet. Raises what `publish` does, and:
            UpstreamFailed: the repository's host refused or failed.
            Unavailable: workers or their disk failed; the same request may succeed.
        """
        if task.status is State.PR_CREATED:
            return True
        if task.status not in FINISHED or task.pr_error is None:
            return False
        raise _error(task.pr_reason or "", task.pr_error)

    async def look(self, tenant: Tenant, task: str) -> PullRequestView:
        """
        The pull request of a task as it is now; a worker asks its host.

        Raises:
            NotFound: no such task, or it has no pull request.
            UpstreamFailed: the host refused or failed.
            Unavailable: no worker answered.
        """
        known = await self._service.get(tenant, task)
        if known.pr_number is None:
            raise NotFound("The task has no pull request.")
        answer = await self._ops.ask(ANY_HOME, OpKind.READ_PR, {"tenant": tenant, "task": task})
        return PullRequestView(
            number=int(answer["number"]),
            url=str(answer["url"]),
            state=str(answer["state"]),
            branch=known.branch or str(answer["branch"]),
        )

    async def _refuse(self, task: Task) -> None:
        """Everything that can be told without the tree."""
        row = _newest_with_work(task)
        if row is None:
            if task.status is State.FAILED:
                raise Conflict("The task failed without work that could be published.")
            raise refused("no_changes", "Nothing of the task was recorded.")
        if parse_remote(task.repo_url).scheme is Scheme.FILE:
            raise refused("unsupported_host", "A local repository has no pull requests.")
        check_changes(row.changes)
        stored = await self._service.stored_diff(task.tenant, task.id, row.number)
        if stored is None:
            return
        if stored.withheld:
            raise refused("secret_in_diff", "A secret of the run stands in the work.")
        if not self._allow_workflows:
            check_workflows(path for file in stored.diff.files for path in _paths(file))


def _newest_with_work(task: Task) -> Iteration | None:
    rows = task.iterations or ()
    return next((row for row in reversed(rows) if row.work is not None), None)


def _paths(file: FileDiff) -> tuple[str, ...]:
    return (file.path,) if file.old_path is None else (file.path, file.old_path)


def _error(reason: str, message: str) -> CodeforgeError:
    """The error that a run ended with, by the code it left."""
    if reason in REFUSALS or reason == Invalid.code:
        return Invalid(message, code=reason)
    if reason in _CONFLICTS:
        return Conflict(message, code=reason)
    if reason in _PASSING:
        return Unavailable(message)
    match reason:
        case UpstreamFailed.code:
            return UpstreamFailed(message)
        case PolicyDenied.code:
            return PolicyDenied(message)
        case _:
            return CodeforgeError(message)
