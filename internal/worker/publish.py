"""
One create-pr from claimed to reported: checks, one commit, one branch, one pull request.

Whatever is killed at any point may be repeated, and there is one pull request afterwards: the
commit is the same for the same work, the branch derives from the task's id, the host is asked
before a pull request is opened. Every end without one leaves the task as it was, with the reason.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import structlog

from internal.errors import CodeforgeError, Fenced, UpstreamFailed
from internal.fault import fault_point
from internal.git.cache import MirrorCache
from internal.git.cli import Access
from internal.git.commit import CommitText
from internal.git.failure import AuthFailed, CloneFailed, RepoNotFound
from internal.git.model import PullRequest, PullRequestWanted
from internal.git.provider.base import ProviderError
from internal.git.push import PushFailed
from internal.git.remote import check_target
from internal.keys.errors import KeyUnusable
from internal.redact import KNOWN, Redactor
from internal.task.event import new_event
from internal.task.fenced import CancelAccepted
from internal.task.model import Claim, Reason, Task
from internal.task.pullrequest import NotPublished, Published, PullRequestOptions
from internal.task.queue import TaskQueue
from internal.task.refusal import refused
from internal.telemetry.tracing import span
from internal.worker.agents import AgentHost
from internal.worker.failure import CANCELED
from internal.worker.hosts import Hosts
from internal.worker.leaks import check_secrets
from internal.worker.lease import Hold, Stop
from internal.worker.patience import until_written
from internal.worker.proposal import Proposal, check_proposal, find_proposal
from internal.worker.pull_request_text import Templates, Text, commit_message, compose
from internal.worker.recorded import RecordedWork
from internal.worker.recorder import Recorder
from internal.worker.report import End, HandBack, run_reported
from internal.worker.secrets import Secrets, SecretSource
from internal.worker.stopping import Stopped, until_stopped
from internal.worker.watchdog import LimitKind

log = structlog.get_logger(__name__)

_LONGEST_SECONDS = 900
"""Of one attempt: a fetch of a large repository on another home, then a push."""

_OF_THE_HOST = (ProviderError, PushFailed, CloneFailed, AuthFailed, RepoNotFound, KeyUnusable)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSettings:
    """What the operator set for all pull requests."""

    branch_prefix: str
    author_name: str
    author_email: str
    max_file_bytes: int
    allow_workflows: bool
    templates: Templates


@dataclass(frozen=True, slots=True, kw_only=True)
class _Branch:
    """What is pushed where, and what people read of it."""

    name: str
    commit: str
    text: Text
    options: PullRequestOptions


class Publisher:
    """Runs claims of create-prs, each by itself; holds no state of any."""

    def __init__(
        self,
        queue: TaskQueue,
        recorded: RecordedWork,
        mirrors: MirrorCache,
        hosts: Hosts,
        agents: AgentHost,
        *,
        secrets: SecretSource,
        settings: PublishSettings,
    ) -> None:
        self._queue = queue
        self._recorded = recorded
        self._mirrors = mirrors
        self._hosts = hosts
        self._agents = agents
        self._secrets = secrets
        self._settings = settings

    async def run(self, claim: Claim, hold: Hold) -> None:
        """Run one claim to its reported end; only cancellation gets out, the task handed back."""

        async def attempt(recorder: Recorder) -> End:
            return await self._attempt(claim, hold, recorder)

        await run_reported(self._queue, claim, attempt)

    async def _attempt(self, claim: Claim, hold: Hold, recorder: Recorder) -> End:
        """
        All steps up to the end that is to be reported. Raises Fenced.

        The secrets stay known until what went wrong is said: an error may repeat them.
        """
        with ExitStack() as known:
            return await self._attempt_knowing(claim, hold, recorder, known)

    async def _attempt_knowing(
        self, claim: Claim, hold: Hold, recorder: Recorder, known: ExitStack
    ) -> End:
        step = self._publish(claim, recorder, known)
        try:
            return await until_stopped(step, hold.stopped, seconds=_LONGEST_SECONDS)
        except Stopped as stopped:
            return _end_early(stopped.reason, recorder)
        except CancelAccepted:
            return _end_early(Stop.CANCEL, recorder)
        except Fenced:
            raise
        except Exception as error:
            if not isinstance(error, CodeforgeError):
                log.exception("publish.failed")
            return _not_published(error)

    async def _publish(self, claim: Claim, recorder: Recorder, known: ExitStack) -> Published:
        """
        In two parts, with the fenced step `pushing` between: before it nothing has left, behind it
        no cancel is accepted.
        """
        task = claim.task
        with span("publish.prepare"):
            proposal = await self._propose(claim)
            branch = await self._make_branch(claim, proposal)
        fault_point("commit_made")
        await until_written(lambda op: self._queue.begin_push(claim, branch.commit, op))
        fault_point("push_begun")
        secrets = await self._open_secrets(claim)
        fault_point("token_opened")
        known.enter_context(KNOWN.using(*secrets.values()))
        made = await self._send(task, proposal, branch, secrets, recorder)
        for warning in made.warnings:
            told = {"reason": "pull_request", "message": warning}
            recorder.add(new_event("system", "warning", told))
        return Published(url=made.url, number=made.number, branch=branch.name, updated=made.updated)

    async def _propose(self, claim: Claim) -> Proposal:
        remote = await self._recorded.remote(claim.task)
        proposal = await find_proposal(
            self._recorded, claim.task, remote, token=lambda: self._token(claim)
        )
        await check_proposal(
            proposal,
            max_file_bytes=self._settings.max_file_bytes,
            allow_workflows=self._settings.allow_workflows,
        )
        return proposal

    async def _make_branch(self, claim: Claim, proposal: Proposal) -> _Branch:
        task, settings = claim.task, self._settings
        chosen = claim.pr_options or PullRequestOptions()
        options = chosen.over(task.config.pr or PullRequestOptions())
        text = compose(task, proposal.counts, options, settings.templates)
        commit = await proposal.repo.make_commit(
            proposal.commit,
            base=proposal.mirror.commit,
            text=CommitText(
                name=settings.author_name,
                email=settings.author_email,
                at=proposal.recorded_at,  # not now: a repeat must make the same commit
                message=commit_message(task, text),
            ),
        )
        name = task.branch or check_target(f"{settings.branch_prefix}{task.id}")
        return _Branch(name=name, commit=commit, text=text, options=options)

    async def _send(
        self,
        task: Task,
        proposal: Proposal,
        branch: _Branch,
        secrets: Secrets,
        recorder: Recorder,
    ) -> PullRequest:
        """Push the branch and let it have its pull request; first the last check."""
        hidden = (*secrets.values(), *self._agents.credentials(self._agents.find(task.config.cli)))
        repo, remote, options = proposal.repo, proposal.remote, branch.options
        redact = Redactor(hidden).redact
        if redact(branch.text.title) != branch.text.title:  # it is in the commit, too
            raise refused("secret_in_diff", "The title of the pull request holds a secret.")
        await check_secrets(repo.changes, proposal.changes, proposal.sizes, known=hidden)
        provider = self._hosts.provider(remote, secrets.git)
        access = await self._mirrors.access(remote, token=secrets.access_token)
        base = options.target_branch or proposal.mirror.branch
        base = base or await self._started_from(task, access) or await provider.default_branch()
        wanted = PullRequestWanted(
            head=branch.name,
            base=base,
            title=branch.text.title,
            description=redact(branch.text.description),
            draft=bool(options.draft),
            labels=options.labels or (),
            reviewers=options.reviewers or (),
        )
        recorder.add(new_event("git", "push_started", {"branch": branch.name}))
        with span("git.push"):
            ours = {*task.pr_heads, branch.commit}
            await repo.push(access, commit=branch.commit, branch=branch.name, ours=ours)
        fault_point("pushed")
        with span("pull_request.open"):
            made = await provider.open_pull_request(wanted)
        fault_point("pr_opened")
        return made

    async def _started_from(self, task: Task, access: Access) -> str | None:
        """The branch that the task named; another home than the one that ran it must ask."""
        named = task.config.target_branch
        return named if named and await self._mirrors.has_branch(access, named) else None

    async def _token(self, claim: Claim) -> str | None:
        return (await self._open_secrets(claim)).access_token

    async def _open_secrets(self, claim: Claim) -> Secrets:
        return await self._secrets.open(claim, self._agents.find(claim.task.config.cli))


def _end_early(reason: Stop | LimitKind, recorder: Recorder) -> End:
    match reason:
        case Stop.FENCED:
            raise Fenced("The lease is lost.")
        case Stop.OUTAGE | Stop.SHUTDOWN | Stop.ESCALATED | Stop.PAUSE:  # never asked to pause
            return HandBack(reason=reason.value)
        case Stop.CANCEL:
            recorder.add(new_event("system", "task_cancelled", {}))
            return NotPublished(reason=CANCELED.reason, message=CANCELED.message)
        case LimitKind():
            message = f"timed out after {_LONGEST_SECONDS} s"
            return NotPublished(reason=UpstreamFailed.code, message=message)


def _not_published(error: Exception) -> NotPublished:
    if not isinstance(error, CodeforgeError):
        message = "the worker failed; its log has the cause"
        return NotPublished(reason=Reason.INTERNAL_ERROR, message=message)
    reason = UpstreamFailed.code if isinstance(error, _OF_THE_HOST) else error.error_code
    return NotPublished(reason=reason, message=KNOWN.redact(error.message))
