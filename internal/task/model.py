"""
The task and everything it consists of, as frozen data.

A task is one piece of work on one repository: a first prompt, then follow-ups. Each prompt is an
*iteration*; each iteration, and each repeat of one by `retry`, is a *run*, which ends in exactly
one final event; a run may take several *attempts* (claims) when workers are lost. Times are aware
and UTC, durations seconds, sizes bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from internal.agent.model import NO_USAGE, Usage
from internal.control.budget import Budget
from internal.git.model import Changes
from internal.mcp.model import McpServer, ShownServer
from internal.task.pullrequest import PullRequestOptions
from internal.task.state import State

TaskId = NewType("TaskId", str)
Tenant = NewType("Tenant", str)

DEFAULT_TENANT = Tenant("default")


class Reason(StrEnum):
    """Why a run failed; callers decide by it, people read the message."""

    CANCELED = "canceled"
    TIMEOUT = "timeout"
    IDLE_TIMEOUT = "idle_timeout"
    CLONE_FAILED = "clone_failed"
    REPO_NOT_FOUND = "repo_not_found"
    AUTH_FAILED = "auth_failed"
    AGENT_FAILED = "agent_failed"
    AGENT_MISSING = "agent_missing"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    BUDGET_EXCEEDED = "budget_exceeded"
    WORKER_LOST = "worker_lost"
    DISK_FULL = "disk_full"
    POLICY_DENIED = "policy_denied"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a run failed. `retryable` says whether the same run may succeed later by itself."""

    reason: Reason
    message: str
    retryable: bool = False
    detail: Mapping[str, Any] | None = None


class Priority(StrEnum):
    """Order inside one tenant; tenants share by fairness, not by priority."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskConfig:
    """How the agent is to be run. The secrets of the request are not here (`TaskSpec`)."""

    cli: str
    timeout_seconds: int
    silence_seconds: int
    ai_model: str | None = None
    max_turns: int | None = None
    max_budget_usd: float | None = None
    max_tokens: int | None = None
    tool_seconds: int | None = None
    target_branch: str | None = None
    mcp_servers: tuple[ShownServer, ...] = ()
    auto_create_pr: bool = False
    retries: int | None = None
    """How often a run repeats when the agent itself fails; None: not at all."""
    pr: PullRequestOptions | None = None
    """What every pull request of the task is like, unless its create-pr says otherwise."""

    @property
    def budget(self) -> Budget:
        """What the task itself wants to use at most."""
        return Budget(
            max_turns=self.max_turns,
            max_tokens=self.max_tokens,
            max_budget_usd=self.max_budget_usd,
            tool_seconds=self.tool_seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChanges:
    """What an instruction may change of a task's config, from then on; None leaves it as it is."""

    timeout_seconds: int | None = None
    silence_seconds: int | None = None
    max_turns: int | None = None
    max_budget_usd: float | None = None
    max_tokens: int | None = None
    tool_seconds: int | None = None

    def applied_to(self, config: TaskConfig) -> TaskConfig:
        """*config* with the changes."""
        return replace(config, **{k: v for k, v in asdict(self).items() if v is not None})


class DedupPolicy(StrEnum):
    """What a new task does while another one with its deduplication key is not finished."""

    COALESCE = "coalesce"
    """Shares that task and its result."""
    LATEST_WINS = "latest_wins"
    """Cancels it, and waits until its process is gone."""
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dedup:
    """A deduplication key, of the tenant that submits with it."""

    key: str
    policy: DedupPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A checked request for a new task: what `TaskService.submit` takes."""

    tenant: Tenant
    repo_url: str
    prompt: str
    config: TaskConfig
    priority: Priority = Priority.NORMAL
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    callback_url: str | None = None
    access_token: str | None = field(default=None, repr=False)
    ai_api_key: str | None = field(default=None, repr=False)
    provider_key: str | None = None
    """Name of a registered key, for the repository's host."""
    mcp_servers: tuple[McpServer, ...] = ()
    dedup: Dedup | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a queued task does not run yet; `until` is None when it depends on others."""

    reason: str
    until: datetime | None = None
    gate: str | None = None
    """The key of the gate it waits at, when it waits at one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What a claim allows. Its loss ends the run: every write is fenced by its token."""

    attempt: int
    granted_at: datetime
    deadline: datetime | None
    """When an agent's time is over; None for a create-pr, whose steps have limits of their own."""
    gates: tuple[str, ...]
    """Keys of the gates it passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """
    The recorded work of one iteration: where its tree and its agent's session are kept.

    Only recorded work is ever read. `commit` and `claim` name the snapshot in the trusted git
    directory of `home`; `truncated` means the stored patch was too big for Redis, so only that
    home has the work.
    """

    commit: str
    claim: str
    home: str
    truncated: bool = False
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One prompt and what became of it."""

    number: int
    status: State
    prompt: str
    result: str | None = None
    failure: Failure | None = None
    changes: Changes | None = None
    usage: Usage = NO_USAGE
    work: Work | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One claim of a run that ended without success, and the reason why."""

    number: int
    worker: str
    started_at: datetime | None
    ended_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as it is stored; what the API shows is `server.schema`'s business."""

    id: TaskId
    tenant: Tenant
    status: State
    repo_url: str
    prompt: str
    iteration: int
    created_at: datetime
    priority: Priority
    labels: Mapping[str, str]
    config: TaskConfig
    usage: Usage
    usage_total: Usage
    provider_key: str | None = None
    callback_url: str | None = None
    result: str | None = None
    failure: Failure | None = None
    changes: Changes | None = None
    current_prompt: str | None = None
    branch: str | None = None
    base_commit: str | None = None
    pr_number: int | None = None
    pr_url: str | None = None
    pr_error: str | None = None
    pr_reason: str | None = None
    """The code of the error that `pr_error` describes."""
    pr_heads: tuple[str, ...] = ()
    """Commit ids that its branch at the remote may be at by our doing, oldest first."""
    trace_id: str | None = None
    wait: Wait | None = None
    permit: Permit | None = None
    """While it is claimed."""
    cancel_requested: bool = False
    pause_requested: bool = False
    """Its worker is about to pause it."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 0
    lost: int = 0
    retries: int = 0
    quota_waits: int = 0
    """How often this run has waited for a provider's quota."""
    attempts: tuple[Attempt, ...] = ()
    """Those of the run that ended without success, oldest first; the newest 16 are known."""
    isolation: str | None = None
    key_source: str | None = None
    last_event: int = 0
    """Number of the newest event in the log."""
    events_trimmed: int = 0
    """Agent events up to this number may be gone: Redis was short of memory."""
    iterations: tuple[Iteration, ...] | None = None
    """None when they were not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """
    The permit to run one task: what `queue.claim` gives a worker.

    `token` fences every write of the run; `claim` is a random id, neither the token nor a counter,
    that names everything the run writes on disk.
    """

    task: Task
    token: str
    claim: str
    worker: str
    home: str
    attempt: int
    access_token: str | None = field(default=None, repr=False)
    """The encrypted record, not the value; decrypted by the worker at the moment of use."""
    ai_api_key: str | None = field(default=None, repr=False)
    mcp_servers: str | None = field(default=None, repr=False)
    """Likewise: the task's own MCP servers, sealed as one record."""
    alone: bool = False
    publish: bool = False
    pr_options: PullRequestOptions | None = None
    """Of a create-pr: what its request chose."""
    traceparent: str | None = None
    """The span of the request that queued the run."""
    queued_seconds: float | None = None
    """How long the run stood in the queue; None when this is not its first attempt."""
    lost_work: bool = False
    """
    The work this run should start from is lost: start from the base commit, with a rebuilt prompt.
    """
    ran_seconds: float = 0.0
    """How much of its time the run had used before it was paused."""

    @property
    def allowed_seconds(self) -> float:
        """How long its agent may run now: what pauses have left of the run's time."""
        return self.task.config.timeout_seconds - self.ran_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What a worker reports at the end of a run; `failure` None means completed.

    `work` is recorded with the iteration; `stored_diff` is the compressed diff (`task.diffstore`),
    kept in Redis; `tail` are the last agent events, already encoded, that the event limit had held
    back.
    """

    failure: Failure | None = None
    result: str | None = None
    changes: Changes | None = None
    usage: Usage = NO_USAGE
    work: Work | None = None
    stored_diff: bytes | None = None
    exhausted: bool = False
    """It failed for good after repeats by itself were used up: the task becomes a dead letter."""
