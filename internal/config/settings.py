"""
Every setting, its type, its limits and its default; one model per section.

A name says its unit where version A's names, which stay valid, do not: all durations are seconds.
Only `codeforge` (the command line) reads settings; everything else is given values.
What each key means to an operator is in docs/configuration.md; a test compares the two.
"""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
)

from internal.config.values import (
    FractionalSeconds,
    Listed,
    Names,
    Origins,
    Seconds,
    SecretTexts,
    Table,
    VariableNames,
)

PR_PLACEHOLDERS = ("summary", "prompt", "changes", "task_id", "task_url", "agent", "iteration")
"""What templates of pull requests may name in braces."""

_MIB = 1 << 20
_DAY = 86_400
_LOWERED = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
_Provider = Annotated[Literal["github", "gitlab", "gitea", "bitbucket"], _LOWERED]


class Section(BaseModel):
    """Unchangeable, and without room for a misspelt key."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class ServerSettings(Section):
    host: str = "127.0.0.1"  # a service that runs other people's code is not public by accident
    port: int = Field(default=8080, ge=0, le=65_535)
    public_url: str = Field(default="", pattern=r"^(https?://[^\s/]+.*)?$")
    auth_token: SecretStr = SecretStr("")
    cors_origins: Origins = ()
    max_body_bytes: int = Field(default=_MIB, ge=1024)
    max_wait: Seconds = Field(default=60, ge=0, le=600)
    pr_wait: Seconds = Field(default=50, ge=0, le=600)

    @property
    def base_url(self) -> str:
        """Where clients find us, without a slash at the end: `public_url`, or host and port."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - read
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class RedisSettings(Section):
    url: SecretStr = SecretStr("")
    prefix: str = Field(
        default="codeforge:", min_length=1, max_length=64, pattern=r"^[^\s*?\[\]]+$"
    )
    ephemeral: bool = False
    replicas: int = Field(default=0, ge=0, le=10)


class WorkerSettings(Section):
    concurrency: int = Field(default=3, ge=1, le=1000)
    queue_name: str = "queue:tasks"
    # Heartbeats come each 3 s and an agent freezes 3 s before the end: 9 leaves one to be lost.
    lease_seconds: Seconds = Field(default=9, ge=9, le=3600)
    grace_seconds: Seconds = Field(default=30, ge=0)
    outage_grace_seconds: Seconds = Field(default=120, ge=0)
    home_grace_seconds: Seconds = Field(default=3600, ge=0)
    publish_concurrency: int = Field(default=2, ge=1, le=100)
    isolation: Literal["auto", "bwrap", "none"] = "auto"
    readable_paths: list[Path] = Field(default_factory=list[Path])


class QueueSettings(Section):
    tenant_concurrency: int = Field(default=0, ge=0)
    repo_concurrency: int = Field(default=0, ge=0)


class TaskSettings(Section):
    default_timeout: Seconds = Field(default=300, gt=0)
    max_timeout: Seconds = Field(default=1800, gt=0)
    silence_seconds: Seconds = Field(default=600, gt=0)
    workspace_base: Path
    workspace_ttl: Seconds = Field(default=_DAY, gt=0)
    state_ttl: Seconds = Field(default=7 * _DAY, gt=0)
    result_ttl: Seconds = Field(default=7 * _DAY, gt=0)
    disk_warning_threshold_gb: float = Field(default=10, ge=0)
    disk_critical_threshold_gb: float = Field(default=20, ge=0)


class EventSettings(Section):
    max_bytes: int = Field(default=4 * _MIB, ge=64 * 1024)
    max_event_bytes: int = Field(default=64 * 1024, ge=1024)


class AgentSettings(Section):
    path: str = ""
    env: VariableNames = ()
    default_model: str = ""


class ClaudeCodeSettings(AgentSettings):
    path: str = "claude"
    telemetry: bool = False


class CodexSettings(AgentSettings):
    path: str = "codex"


class OpencodeSettings(AgentSettings):
    path: str = "opencode"


class GeminiSettings(AgentSettings):
    path: str = "gemini"


def _known_agent(name: str) -> str:
    # The table of agents is on a floor above; this class is its copy in settings.
    known = [field.replace("_", "-") for field in CliSettings.model_fields if field != "default"]
    if name not in known:
        raise ValueError(f"must be one of {', '.join(known)}")
    return name


class CliSettings(Section):
    default: Annotated[str, AfterValidator(_known_agent)] = "claude-code"
    claude_code: ClaudeCodeSettings = ClaudeCodeSettings()
    codex: CodexSettings = CodexSettings()
    opencode: OpencodeSettings = OpencodeSettings()
    gemini: GeminiSettings = GeminiSettings()
    demo: AgentSettings = AgentSettings()


def _template(text: str) -> str:
    # The names are those of a module on a floor above; a test compares the two.
    unknown = {name for name in re.findall(r"\{([^{}]*)\}", text) if name not in PR_PLACEHOLDERS}
    if unknown:
        known = ", ".join(PR_PLACEHOLDERS)
        raise ValueError(f"does not know {', '.join(sorted(unknown))}; there are {known}")
    return text


class GitSettings(Section):
    # What git takes as the beginning of a branch: no part starts with a dot or a hyphen.
    branch_prefix: str = Field(
        default="codeforge/", pattern=r"^(\w[\w-]*(\.[\w-]+)*/)*(\w[\w-]*(\.[\w-]+)*)?$"
    )
    commit_author: str = Field(default="CodeForge Bot", pattern=r"^[^<>\n]+$")
    commit_email: str = Field(default="codeforge@noreply", pattern=r"^[^<>\s]+$")
    pr_title_template: Annotated[str, AfterValidator(_template)] = "{summary}"
    pr_body_template: Annotated[str, AfterValidator(_template)] = ""
    max_file_mb: float = Field(default=50, gt=0)
    allow_workflows: bool = False
    provider_domains: Annotated[dict[str, _Provider], Table] = {}
    allow_local: bool = False
    allow_hosts: Names = ()
    mirror_budget_gb: float = Field(default=20, gt=0)
    spare_trees: int = Field(default=2, ge=0, le=100)
    ssh_key_file: str = ""
    ssh_known_hosts_file: str = ""


class EgressSettings(Section):
    allow: Names = ()


class EncryptionSettings(Section):
    key: SecretStr = SecretStr("")
    keys: Annotated[dict[str, SecretStr], Table] = {}


class WebhookSettings(Section):
    hmac_secret: SecretStr = SecretStr("")
    old_hmac_secrets: SecretTexts = ()
    # None: the schedule of Standard Webhooks; a number: version A's, with 3 and 5 s by default.
    retry_count: int | None = Field(default=None, ge=0, le=20)
    retry_delay: FractionalSeconds | None = Field(default=None, gt=0)


class RateLimitSettings(Section):
    enabled: bool = True
    tasks_per_minute: int = Field(default=10, ge=1)


class TracingSettings(Section):
    enabled: bool = False
    exporter: Literal["otlp", "otlp-grpc", "console", "none"] = "otlp"
    endpoint: str = ""
    insecure: bool = False
    ca_file: str = ""
    headers: SecretStr = SecretStr("")
    sampling_rate: float = Field(default=0.1, ge=0, le=1)


class LoggingSettings(Section):
    level: Annotated[Literal["debug", "info", "warning", "warn", "error"], _LOWERED] = "info"
    format: Annotated[Literal["auto", "json", "console", "text"], _LOWERED] = "auto"


class LimitSettings(Section):
    search_window: int = Field(default=10_000, ge=1)


class ShareSettings(Section):
    """What a tenant, a repository or an agent may have; None: as everybody else, 0: no limit."""

    concurrency: int | None = Field(default=None, ge=0)
    starts_per_minute: int | None = Field(default=None, ge=0)
    usd_per_day: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    tokens_per_day: int | None = Field(default=None, ge=0)


class TenantShareSettings(ShareSettings):
    weight: float | None = Field(default=None, ge=0.001, le=1_000_000)


_TenantName = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9-]{1,32})$")]
_AgentName = Annotated[
    str, AfterValidator(lambda name: name if name == "*" else _known_agent(name))
]


_Thresholds = Annotated[
    tuple[
        Annotated[int, Field(ge=0, le=1000)],
        Annotated[int, Field(ge=0, le=1000)],
        Annotated[int, Field(ge=0, le=1000)],
        Annotated[int, Field(ge=0, le=1000)],
    ],
    Listed,
]
"""Signals until a scope is warned of, throttled, isolated and stopped; 0: never."""
# The names are those of a module on a floor above; a test compares the two.
_Signal = Literal[
    "silence", "stuck_tool", "repeats", "no_result", "survivors", "slow_end", "worker_lost"
]


class EscalationSettings(Section):
    window_seconds: Seconds = Field(default=3600, ge=1, le=_DAY)
    quiet_seconds: Seconds = Field(default=900, ge=1, le=_DAY)
    agent: _Thresholds = (6, 16, 32, 48)
    repository: _Thresholds = (3, 6, 12, 18)
    worker: _Thresholds = (6, 16, 32, 48)
    warn_only: Annotated[tuple[_Signal, ...], Listed] = ("no_result", "survivors", "worker_lost")
    repeats: int = Field(default=8, ge=0, le=1000)
    slow_end_seconds: FractionalSeconds = Field(default=8, gt=0)


class PressureSettings(Section):
    slow_per_slot: int = Field(default=200, ge=1)
    slow_age_seconds: Seconds = Field(default=900, ge=0)
    refuse_per_slot: int = Field(default=2000, ge=1)
    refuse_age_seconds: Seconds = Field(default=3600, ge=0)
    slow_memory_share: float = Field(default=0.95, gt=0, le=1)
    refuse_memory_share: float = Field(default=0.98, gt=0, le=1)
    trim_redis_share: float = Field(default=0.75, gt=0, le=1)
    refuse_redis_share: float = Field(default=0.9, gt=0, le=1)


class RetrySettings(Section):
    most_repeats: int = Field(default=3, ge=0, le=100)
    base_seconds: FractionalSeconds = Field(default=5, gt=0)
    factor: float = Field(default=4, ge=1, le=100)
    longest_seconds: FractionalSeconds = Field(default=600, gt=0)
    max_quota_wait_seconds: Seconds = Field(default=6 * 3_600, ge=0)
    most_quota_waits: int = Field(default=10, ge=0, le=1000)
    quota_pause_seconds: Seconds = Field(default=900, gt=0)


class BreakerSettings(Section):
    window_seconds: Seconds = Field(default=300, gt=0, le=_DAY)
    minimum_calls: int = Field(default=20, ge=1)
    failure_rate: float = Field(default=0.5, ge=0, le=1)
    slow_rate: float = Field(default=0.8, ge=0, le=1)
    slow_seconds: FractionalSeconds = Field(default=60, ge=0)
    consecutive: int = Field(default=10, ge=0)
    pause_seconds: Seconds = Field(default=30, gt=0)
    longest_pause_seconds: Seconds = Field(default=600, gt=0)


class BudgetSettings(Section):
    tool_seconds: Seconds = Field(default=0, ge=0)
    warn_share: float = Field(default=0.8, gt=0, le=1)
    prices_file: str = ""


class ControlSettings(Section):
    policy: str = ""
    budget: BudgetSettings = BudgetSettings()
    tenants: Annotated[dict[_TenantName, TenantShareSettings], Table] = {}
    repositories: Annotated[dict[str, ShareSettings], Table] = {}
    agents: Annotated[dict[_AgentName, ShareSettings], Table] = {}
    escalation: EscalationSettings = EscalationSettings()
    pressure: PressureSettings = PressureSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()


class McpSettings(Section):
    """Empty, as in version A."""


class Settings(Section):
    """All of it. `data_dir` and `tasks.workspace_base` have defaults that `load_settings` knows."""

    data_dir: Path
    server: ServerSettings = ServerSettings()
    redis: RedisSettings = RedisSettings()
    workers: WorkerSettings = WorkerSettings()
    queue: QueueSettings = QueueSettings()
    tasks: TaskSettings
    events: EventSettings = EventSettings()
    cli: CliSettings = CliSettings()
    git: GitSettings = GitSettings()
    egress: EgressSettings = EgressSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    webhooks: WebhookSettings = WebhookSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    tracing: TracingSettings = TracingSettings()
    logging: LoggingSettings = LoggingSettings()
    limits: LimitSettings = LimitSettings()
    mcp: McpSettings = McpSettings()
    control: ControlSettings = ControlSettings()


def leaf_names(section: type[Section] = Settings, above: str = "") -> list[str]:
    """The dotted paths of all settings, in the order of this file."""
    names: list[str] = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            names += leaf_names(kind, f"{above}{name}.")
        else:
            names.append(f"{above}{name}")
    return names


def leaf(settings: Settings, path: str) -> object:
    """The value of the setting with the dotted *path*."""
    return reduce(getattr, path.split("."), settings)
