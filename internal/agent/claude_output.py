"""
Reads the `stream-json` lines of Claude Code.

A process prints an `init` and a `result` line per turn, and can take turns by itself when a
background command ends: a result line is no end. Every line becomes at least one event; unknown
ones are `system`.
"""

from __future__ import annotations

from dataclasses import replace

from internal.agent.claude_dialogue import ClaudeDialogue
from internal.agent.claude_ending import ResultLine, judge
from internal.agent.claude_usage import ClaudeUsage
from internal.agent.jsonline import (
    as_amount,
    as_count,
    as_list,
    as_object,
    as_session_id,
    as_text,
    decode,
    unreadable,
)
from internal.agent.model import (
    AgentEvent,
    AgentResult,
    Ending,
    EventKind,
    ExitStatus,
    Json,
    Usage,
)

_NOT_THE_MODEL = "<synthetic>"  # messages that the client made itself: API failures
_LONGEST_RETRY_SECONDS = 86_400
"""No rate limit is for longer; beyond it, somebody prints nonsense, and no run may wait for it."""


class ClaudeParser:
    """The parser of one run; *resumes* is the session it goes on with."""

    def __init__(self, *, resumes: str | None = None) -> None:
        self._resumes = resumes
        self.dialogue = ClaudeDialogue()
        self._session_id: str | None = None
        self._usage = ClaudeUsage()
        self._last_text = ""
        self._last_result: ResultLine | None = None
        self._retry_seconds: float | None = None
        self._reset = 0.0

    @property
    def session_id(self) -> str | None:
        """See `base.Parser`; a program that names none goes on with the session it was given."""
        return self._session_id or self._resumes

    @property
    def usage(self) -> Usage:
        """See `base.Parser`."""
        return self._usage.total()

    def parse(self, line: bytes) -> list[AgentEvent]:
        """See `base.Parser`."""
        if not line.strip():
            return []
        decoded = decode(line)
        if decoded is None:
            return [unreadable(line)]
        self.dialogue.take(decoded)
        self._session_id = self._session_id or as_session_id(decoded.get("session_id"))
        events = self._events(decoded) or [_note(as_text(decoded.get("type")))]
        return [replace(events[0], raw=decoded), *events[1:]]

    def result(self, status: ExitStatus) -> AgentResult:
        """See `base.Parser`."""
        verdict = judge(
            status, self._last_result, has_text=bool(self._last_text), reset=self._reset
        )
        is_limited = verdict.ending is Ending.RATE_LIMITED
        is_lost = verdict.ending is Ending.SESSION_LOST
        last = self._last_result
        said = "" if last is None or last.is_error else last.text
        return AgentResult(
            ending=verdict.ending,
            text=said or self._last_text,
            message=verdict.message,
            detail=verdict.detail,
            session_id=None if is_lost else self.session_id,
            usage=self.usage,
            retry_after_seconds=self._retry_seconds if is_limited else None,
            resets_at=verdict.resets_at,
            fault=verdict.fault,
            told_result=last is not None or status.code != 0 or status.ended_by is not None,
        )

    def _events(self, line: Json) -> list[AgentEvent]:
        match line.get("type"):
            case "assistant":
                return self._assistant(line)
            case "user":
                return _user(line)
            case "result":
                return self._result(line)
            case "system":
                return self._system(line)
            case "rate_limit_event":
                return self._window(line)
            case _:
                return []

    def _assistant(self, line: Json) -> list[AgentEvent]:
        message = as_object(line.get("message"))
        blocks = [as_object(block) for block in as_list(message.get("content"))]
        if message.get("model") == _NOT_THE_MODEL:
            return [_error(as_text(b.get("text")), line.get("api_error_status")) for b in blocks]
        is_subagent = line.get("parent_tool_use_id") is not None
        self._usage.add_message(message, is_subagent=is_subagent)
        text = "".join(as_text(block.get("text")) for block in blocks)
        if text and not is_subagent:
            self._last_text = text
        return [_block(block) for block in blocks]

    def _result(self, line: Json) -> list[AgentEvent]:
        self._usage.add_result(line)
        found = ResultLine.read(line)
        self._last_result = found
        text = found.text or found.errors or self._last_text
        return [
            AgentEvent(kind=EventKind.RESULT, data={"text": text, "is_error": found.is_error}),
            AgentEvent(kind=EventKind.USAGE, data=self.usage.members()),
        ]

    def _system(self, line: Json) -> list[AgentEvent]:
        match line.get("subtype"):
            case "init":
                self._usage.add_init(line)
                version, model = line.get("claude_code_version"), line.get("model")
                return [_note(f"Claude Code {version or ''} with {model or 'its own model'}")]
            case "api_retry":
                return [self._retry(line)]
            case subtype:
                said = line.get("message") or line.get("content") or line.get("summary")
                return [_note(as_text(said) or as_text(subtype))]

    def _window(self, line: Json) -> list[AgentEvent]:
        """How the account's quota stands; it comes with every turn, and most say `allowed`."""
        told = as_object(line.get("rate_limit_info"))
        is_used_up = told.get("status") == "rejected"
        self._reset = as_amount(told.get("resetsAt")) if is_used_up else 0.0
        return [_note(f"quota: {as_text(told.get('status')) or 'unknown'}")]

    def _retry(self, line: Json) -> AgentEvent:
        seconds = as_amount(line.get("retry_delay_ms")) / 1000
        if 0 < seconds <= _LONGEST_RETRY_SECONDS:
            self._retry_seconds = seconds
        attempt, most = as_count(line.get("attempt")), as_count(line.get("max_retries"))
        why = as_text(line.get("error")) or "error"
        message = f"model API: {why}; retry {attempt} of {most} in {seconds:.1f} s"
        return _error(message, line.get("error_status"))


def _block(block: Json) -> AgentEvent:
    match block.get("type"):
        case "text":
            return AgentEvent(kind=EventKind.TEXT, data={"text": as_text(block.get("text"))})
        case "thinking" | "redacted_thinking":
            return AgentEvent(
                kind=EventKind.THINKING, data={"text": as_text(block.get("thinking"))}
            )
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            return AgentEvent(
                kind=EventKind.TOOL_USE,
                data={
                    "id": as_text(block.get("id")),
                    "name": as_text(block.get("name")),
                    "input": as_object(block.get("input")),
                },
            )
        case kind:
            return _note(as_text(kind))


def _user(line: Json) -> list[AgentEvent]:
    content = as_object(line.get("message")).get("content")
    if isinstance(content, str):
        return [_note(content)]
    blocks = [as_object(block) for block in as_list(content)]
    return [
        _tool_result(block) if block.get("type") == "tool_result" else _note(_plain([block]))
        for block in blocks
    ]


def _tool_result(block: Json) -> AgentEvent:
    return AgentEvent(
        kind=EventKind.TOOL_RESULT,
        data={
            "id": as_text(block.get("tool_use_id")),
            "output": _plain(block.get("content")),
            "is_error": block.get("is_error") is True,
        },
    )


def _plain(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = [as_object(part) for part in as_list(content)]
    return "\n".join(
        as_text(part.get("text")) if part.get("type") == "text" else f"[{part.get('type')}]"
        for part in parts
    )


def _error(message: str, status: object) -> AgentEvent:
    number = as_count(status)
    data: Json = {"message": message, "status": number} if number else {"message": message}
    return AgentEvent(kind=EventKind.ERROR, data=data)


def _note(text: str) -> AgentEvent:
    return AgentEvent(kind=EventKind.SYSTEM, data={"text": text})
