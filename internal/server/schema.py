"""
The request bodies: types, limits and defaults of each member.

A member that is null counts as absent. Members that only a later version knows are declared here,
so that a request which uses them is refused by name and never silently misunderstood.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationInfo,
)

from internal.errors import Invalid, PolicyDenied
from internal.git.policy import check_policy
from internal.git.remote import check_target, parse_remote
from internal.server.complaints import complain, complain_not_available
from internal.server.deps import TaskRules
from internal.server.fields import Body, http_url, key_name, printable_ascii, rules_of
from internal.server.schema_mcp import MAX_SERVERS, McpServerBody, distinct_names
from internal.server.schema_pulls import PullRequestBody
from internal.task.model import (
    ConfigChanges,
    Dedup,
    DedupPolicy,
    Priority,
    TaskConfig,
    TaskSpec,
    Tenant,
)

_MAX_INT = 2**31 - 1
_MAX_LABELS = 16

Check = Callable[[str, ValidationInfo], str]
"""A validator of text that may ask the rules; raises a complaint."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise complain("must not be blank")
    return text


def _whole(value: object) -> object:
    # JSON has one kind of number: 5.0 is an integer there, and some clients write it so.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_repo(url: str, info: ValidationInfo) -> str:
    rules = rules_of(info)
    try:
        remote = parse_remote(url)
        check_policy(remote, allow_local=rules.allow_local, allow_hosts=rules.allow_hosts)
        if remote.host:
            rules.check_git_host(remote.host)
    except Invalid as error:
        raise complain(error.fields.get("repo_url", error.message)) from error
    except PolicyDenied as error:
        raise complain(f"is refused: {error.message}") from error
    return url


def check_callback(url: str, info: ValidationInfo) -> str:
    """A URL that webhooks may go to, as far as its text tells."""
    http_url(url, rules_of(info).check_http_host)
    return url


def _check_branch(name: str, info: ValidationInfo) -> str:
    del info
    try:
        return check_target(name)
    except Invalid as error:
        raise complain(error.fields.get("config.target_branch", error.message)) from error


def _check_agent(name: str, info: ValidationInfo) -> str:
    agents = rules_of(info).agents
    if name not in agents:
        known = ", ".join(sorted(name for name, agent in agents.items() if agent.built))
        raise complain(f"is no known agent; there are: {known}")
    if not agents[name].built:
        raise complain_not_available("is an agent of a later version")
    return name


def _check_key_name(name: str, info: ValidationInfo) -> str:
    del info
    return key_name(name)


def _check_wait(seconds: float, info: ValidationInfo) -> float:
    most = rules_of(info).max_wait_seconds
    if seconds > most:
        raise complain(f"must be at most {most}")
    return seconds


def _check_labels(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > _MAX_LABELS:
        raise complain(f"must have at most {_MAX_LABELS} members")
    return labels


def _unless_empty(check: Check) -> Check:
    """Clients of the Go server send "" for what they leave out."""

    def checked(text: str, info: ValidationInfo) -> str:
        if not text:
            return text
        return check(text, info)

    return checked


Prompt = Annotated[
    str, StringConstraints(min_length=1, max_length=102_400), AfterValidator(_not_blank)
]
Label = Annotated[str, StringConstraints(max_length=64)]
Secret = Annotated[str, StringConstraints(max_length=4_096), AfterValidator(printable_ascii)]
Model = Annotated[str, StringConstraints(max_length=256), AfterValidator(printable_ascii)]
Int = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[Int, Field(gt=0, le=_MAX_INT)]
Usd = Annotated[float, Field(gt=0)]
Tokens = Annotated[Int, Field(gt=0, le=10**12)]
ToolSeconds = Annotated[Int, Field(ge=0, le=_MAX_INT)]


class TaskConfigBody(Body):
    """`config` of a new task."""

    cli: Annotated[str, AfterValidator(_unless_empty(_check_agent))] | None = None
    timeout_seconds: Int | None = None
    silence_seconds: Count | None = None
    ai_model: Model | None = None
    ai_api_key: Secret | None = None
    max_turns: Count | None = None
    max_budget_usd: Usd | None = None
    max_tokens: Tokens | None = None
    tool_seconds: ToolSeconds | None = None
    target_branch: Annotated[str, AfterValidator(_unless_empty(_check_branch))] | None = None
    mcp_servers: (
        Annotated[
            list[McpServerBody], Field(max_length=MAX_SERVERS), AfterValidator(distinct_names)
        ]
        | None
    ) = None
    auto_create_pr: bool | None = None
    pr: PullRequestBody | None = None
    retries: Annotated[Int, Field(ge=0, le=5)] | None = None


class DedupBody(Body):
    """`dedup` of a new task."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    policy: Literal["coalesce", "latest_wins", "reject"]

    def dedup(self) -> Dedup:
        return Dedup(key=self.key, policy=DedupPolicy(self.policy))


class NewTask(Body):
    """What every request for a new task can say; checked with `TaskRules` as context."""

    repo_url: Annotated[str, AfterValidator(_check_repo)]
    prompt: Prompt
    access_token: Secret | None = None
    callback_url: Annotated[str, AfterValidator(_unless_empty(check_callback))] | None = None
    labels: Annotated[dict[Label, Label], AfterValidator(_check_labels)] | None = None
    priority: Literal["low", "normal", "high"] | None = None
    config: TaskConfigBody | None = None
    provider_key: Annotated[str, AfterValidator(_unless_empty(_check_key_name))] | None = None
    dedup: DedupBody | None = None

    def spec(self, tenant: Tenant, rules: TaskRules) -> TaskSpec:
        """What the service takes: defaults filled in, times clamped."""
        return TaskSpec(
            tenant=tenant,
            repo_url=self.repo_url,
            prompt=self.prompt,
            config=_config(self.config or TaskConfigBody(), rules),
            priority=Priority(self.priority or Priority.NORMAL),
            labels=self.labels or {},
            callback_url=self.callback_url or None,
            access_token=self.access_token or None,
            provider_key=self.provider_key or None,
            ai_api_key=(self.config.ai_api_key if self.config else None) or None,
            mcp_servers=tuple(
                server.server() for server in (self.config and self.config.mcp_servers) or ()
            ),
            dedup=self.dedup.dedup() if self.dedup else None,
        )


class CreateTask(NewTask):
    """The body of `POST /tasks`."""

    wait: Annotated[float, Field(ge=0), AfterValidator(_check_wait)] | None = None


class InputTask(NewTask):
    """A payload of the input list: a new task and an id for the answer."""

    correlation_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None


class InstructConfig(Body):
    """`config` of an instruction: limits that hold from then on."""

    timeout_seconds: Int | None = None
    silence_seconds: Count | None = None
    max_turns: Count | None = None
    max_budget_usd: Usd | None = None
    max_tokens: Tokens | None = None
    tool_seconds: ToolSeconds | None = None


class Instruct(Body):
    """The body of `POST /tasks/{id}/instruct`."""

    prompt: Prompt
    config: InstructConfig | None = None

    def changes(self, rules: TaskRules) -> ConfigChanges | None:
        """What the service takes: times clamped as for a new task; None when nothing changes."""
        given = self.config.model_dump(exclude_none=True) if self.config else {}
        if "timeout_seconds" in given:
            given["timeout_seconds"] = _timeout(given["timeout_seconds"], rules)
        return ConfigChanges(**given) if given else None


class Directive(Body):
    """The body of `POST /tasks/{id}/directive`."""

    text: Prompt


class Empty(Body):
    """The body of a verb without members."""


def _config(body: TaskConfigBody, rules: TaskRules) -> TaskConfig:
    return TaskConfig(
        cli=body.cli or rules.default_agent,
        timeout_seconds=_timeout(body.timeout_seconds, rules),
        silence_seconds=body.silence_seconds or rules.silence_seconds,
        ai_model=body.ai_model or None,
        max_turns=body.max_turns,
        max_budget_usd=body.max_budget_usd,
        retries=body.retries or None,
        max_tokens=body.max_tokens,
        tool_seconds=body.tool_seconds or None,
        target_branch=body.target_branch or None,
        mcp_servers=tuple(server.server().shown() for server in body.mcp_servers or ()),
        auto_create_pr=bool(body.auto_create_pr),
        pr=body.pr.options() if body.pr else None,
    )


def _timeout(wanted: int | None, rules: TaskRules) -> int:
    if wanted is None or wanted <= 0:
        wanted = rules.default_timeout_seconds
    return min(wanted, rules.max_timeout_seconds)
