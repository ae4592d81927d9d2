"""What goes into an agent and what comes out of it, whatever CLI runs: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from internal.mcp.model import McpServer

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one run used, never a session sum. Zeros before anything is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    cost_usd: float = 0.0
    duration_seconds: float = 0.0
    turns: int = 0
    model: str | None = None
    unpriced_tokens: int = 0
    """Tokens of all kinds for which nobody knows a price: `cost_usd` is without them."""

    def members(self) -> Json:
        """As it is shown: `unpriced_tokens` only where there are any."""
        shown = asdict(self)
        if not self.unpriced_tokens:
            del shown["unpriced_tokens"]
        return shown


NO_USAGE = Usage()


class EventKind(StrEnum):
    """The closed set of what an agent can tell; every CLI's lines become these."""

    TEXT = "text"
    THINKING = "thinking"
    TOOL_USE = "tool_use"
    TOOL_RESULT = "tool_result"
    USAGE = "usage"
    RESULT = "result"
    ERROR = "error"
    SYSTEM = "system"
    TRUNCATED = "truncated"
    """Never a CLI's: our own note where output was left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEvent:
    """
    One event, with the data members of contract section 6.

    text, thinking, system `{text}`; tool_use `{id, name, input}`; tool_result `{id, output,
    is_error}`; usage as `Usage`; error `{message, status?}`; result `{text, is_error}`; truncated
    `{dropped_bytes, dropped_events}`. A member `truncated: true` says that the data was cut.
    `raw` is the CLI's own line, as an object or, when it was no JSON, as a string; only the first
    event of a line carries it.
    """

    kind: EventKind
    data: Json
    raw: Json | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """Where an agent is to report its own telemetry, and as part of what."""

    endpoint: str
    """The collector's base URL, without `/v1/traces`."""
    protocol: str
    """`http/protobuf` or `grpc`."""
    task: str
    iteration: int
    traceparent: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAccess:
    """By what a run reaches its model; the members are those of `AgentRequest`."""

    api_key: str | None = field(default=None, repr=False)
    api_url: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    environment_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRequest:
    """All a driver may know about one run."""

    prompt: str
    workspace: Path
    home: Path
    """HOME of the agent: one per task and claim, so sessions never mix."""
    session_id: str | None = None
    """Resume this session of the agent; None starts a new one."""
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    api_url: str | None = None
    """Where `api_key` belongs; None is the provider's own address."""
    max_turns: int | None = None
    max_budget_usd: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """The worker's own environment, from which a driver takes what its allow-list names."""
    environment_names: tuple[str, ...] = ()
    """More names to take from it, by the operator's setting; they win over what the driver sets."""
    executable: str | None = None
    """The path from settings; None looks for the CLI's usual name on PATH."""
    takes_input: bool = False
    """The program is known to be the CLI itself: it may be spoken to while it runs."""
    reporting: Reporting | None = None
    """None: the agent reports nothing by itself."""
    mcp_servers: tuple[McpServer, ...] = ()
    readable: tuple[Path, ...] = ()
    """What an isolated agent must be able to read besides its own program."""


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """A file for one run, with secrets in it; nothing must be at its path before."""

    path: Path
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to start: argv without the prompt, the whole environment, the first bytes on stdin."""

    argv: tuple[str, ...]
    environment: dict[str, str] = field(repr=False)
    stdin: bytes = field(repr=False)
    files: tuple[PrivateFile, ...] = ()
    """There from the start of the process to its end."""
    close_stdin: bool = True
    """False when the driver wants to send more input later; it is closed after the last input."""


class Ending(StrEnum):
    """How a run ended, as the driver judges it from the lines and the exit status."""

    COMPLETED = "completed"
    FAILED = "agent_failed"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    AUTH_FAILED = "auth_failed"
    BUDGET_EXCEEDED = "budget_exceeded"
    SESSION_LOST = "session_lost"
    """The session to resume is gone; the same run can be repeated with a rebuilt prompt."""
    STOPPED = "stopped"
    """We ended it (limit, cancel, shutdown); whoever did knows the reason."""


class Fault(StrEnum):
    """What an end speaks against besides the run itself; most ends speak against nothing."""

    PROGRAM = "program"
    """The CLI broke: it ended without a word of its own about it."""
    ENDPOINT = "endpoint"
    """The model's endpoint was not there, or said that it cannot; no word about one key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitStatus:
    """
    How the process ended: `code` or `signal`, the other is None; `stderr_tail` is its last words.
    """

    code: int | None = None
    signal: int | None = None
    stderr_tail: str = ""
    ended_by: str | None = None
    """Who asked it to end, in our words; None when it ended by itself."""
    ended_at: datetime | None = None
    """When, aware; what a CLI says of times is told from here. None: it cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResult:
    """The end of one run: the verdict, what the agent said last, and what it used."""

    ending: Ending
    text: str = ""
    message: str = ""
    """Why it failed, for a person; empty on success."""
    detail: Json | None = None
    session_id: str | None = None
    usage: Usage = NO_USAGE
    retry_after_seconds: float | None = None
    """How long the other side asked to be left alone; it says nothing of a quota."""
    resets_at: datetime | None = None
    """When a used-up quota opens again, as far as the CLI told it."""
    fault: Fault | None = None
    first_answer_seconds: float | None = None
    """From the start to the model's first word, frozen time left out; None: there was none."""
    told_result: bool = True
    """False: the program ended well, without a line that says how its work ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a CLI can do, for `GET /agents`."""

    resume: bool = False
    mcp: bool = False
    directive: bool = False
    budget: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Whether a CLI can run here. A probe never makes an executable file unavailable."""

    available: bool
    version: str | None = None
    reason: str | None = None
    executable: str | None = None
    is_genuine: bool = False
    """Its version's line names the CLI, so it is no program that only speaks its lines."""
