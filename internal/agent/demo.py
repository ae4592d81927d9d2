"""
The driver of the demo agent (`demo_program`): for trying CodeForge out, and for its tests.

Its lines are our own event kinds already; they are checked all the same, because the program prints
garbage on request.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from internal.agent.ending import describe_exit, is_crash
from internal.agent.jsonline import (
    as_count,
    as_object,
    as_session_id,
    as_text,
    decode,
    unreadable,
)
from internal.agent.mcpconfig import demo_config, on_path
from internal.agent.model import (
    AgentEvent,
    AgentRequest,
    AgentResult,
    Capabilities,
    Ending,
    EventKind,
    ExitStatus,
    Fault,
    Json,
    Launch,
    ModelAccess,
    PrivateFile,
    Probe,
    Usage,
)
from internal.agent.privatefile import private_path
from internal.agent.probe import probe_program
from internal.agent.quota import reset_of
from internal.process.limits import allowed_environment

_PROGRAM = Path(__file__).with_name("demo_program.py")
_MODEL = "demo"


class Demo:
    """See `base.Agent`."""

    name = "demo"
    capabilities = Capabilities(resume=True, mcp=True)
    credential_names: tuple[str, ...] = ()
    model_provider: str | None = None

    def endpoint(self, access: ModelAccess) -> str | None:
        """See `base.Agent`; there is no model behind it."""
        del access
        return None

    async def probe(self, executable: str | None, environment: Mapping[str, str]) -> Probe:
        """See `base.Agent`; its version is that of the Python it runs on."""
        allowed = allowed_environment(environment, home=Path("/nonexistent"))
        return await probe_program(executable or sys.executable, allowed)

    def launch(self, request: AgentRequest) -> Launch:
        """See `base.Agent`."""
        own = (sys.executable, "-I", "-S", str(_PROGRAM))
        program = (os.path.abspath(request.executable),) if request.executable else own
        resume = ("--resume", request.session_id) if request.session_id else ()
        names = request.environment_names
        environment = allowed_environment(request.environment, home=request.home, names=names)
        files: tuple[PrivateFile, ...] = ()
        if request.mcp_servers:
            config = demo_config(request.mcp_servers, on_path(environment.get("PATH")))
            files = (PrivateFile(private_path(request.home, "mcp"), config),)
        given = [word for file in files for word in ("--mcp-config", str(file.path))]
        return Launch(
            argv=(*program, *resume, *given),
            environment=environment,
            stdin=request.prompt.encode(errors="replace"),
            files=files,
        )

    def parser(self, request: AgentRequest) -> DemoParser:
        """See `base.Agent`."""
        return DemoParser(resumes=request.session_id)

    def prepare_session(
        self, home: Path, old_workspace: Path, new_workspace: Path, session_id: str
    ) -> bool:
        """See `base.Agent`; its sessions do not depend on the workspace."""
        del old_workspace, new_workspace
        file = home / ".demo-agent" / f"{session_id}.json"
        return as_session_id(session_id) is not None and file.is_file()


class DemoParser:
    """The parser of one run; *resumes* is the session it goes on with."""

    def __init__(self, *, resumes: str | None = None) -> None:
        self._resumes = resumes
        self._session_id: str | None = None
        self._usage = Usage(model=_MODEL)
        self._last_text = ""
        self._result: Json | None = None

    @property
    def session_id(self) -> str | None:
        """See `base.Parser`."""
        return self._session_id or self._resumes

    @property
    def dialogue(self) -> None:
        """See `base.Parser`; it reads its stdin to the end before it begins."""
        return

    @property
    def usage(self) -> Usage:
        """See `base.Parser`."""
        return self._usage

    def parse(self, line: bytes) -> list[AgentEvent]:
        """See `base.Parser`."""
        if not line.strip():
            return []
        decoded = decode(line)
        if decoded is None:
            return [unreadable(line)]
        return [replace(self._event(decoded), raw=decoded)]

    def result(self, status: ExitStatus) -> AgentResult:
        """See `base.Parser`."""
        ending, message = self._verdict(status)
        broke = ending is Ending.FAILED and self._result is None and is_crash(status)
        return AgentResult(
            ending=ending,
            text=as_text((self._result or {}).get("text")) or self._last_text,
            message=message,
            session_id=None if ending is Ending.SESSION_LOST else self.session_id,
            usage=self._usage,
            resets_at=_reset(ending, message, status.ended_at),
            fault=Fault.PROGRAM if broke else None,
        )

    def _verdict(self, status: ExitStatus) -> tuple[Ending, str]:
        if status.ended_by is not None:
            return Ending.STOPPED, f"Ended by us: {status.ended_by}"
        if self._result and self._result.get("is_error") is True:
            return _failure(self._result)
        if status.code == 0 and self._result is not None:
            return Ending.COMPLETED, ""
        return Ending.FAILED, f"The demo agent {describe_exit(status)}"

    def _event(self, line: Json) -> AgentEvent:
        text = as_text(line.get("text"))
        match line.get("type"):
            case "text":
                self._last_text = text
                return AgentEvent(kind=EventKind.TEXT, data={"text": text})
            case "thinking":
                return AgentEvent(kind=EventKind.THINKING, data={"text": text})
            case "tool_use" | "tool_result" as kind:
                return _tool(kind, line)
            case "usage":
                self._usage = _usage(line)
                return AgentEvent(kind=EventKind.USAGE, data=self._usage.members())
            case "result":
                self._result = line
                is_error = line.get("is_error") is True
                return AgentEvent(kind=EventKind.RESULT, data={"text": text, "is_error": is_error})
            case kind:
                found = as_session_id(line.get("session_id"))
                self._session_id = self._session_id or found
                return AgentEvent(kind=EventKind.SYSTEM, data={"text": text or as_text(kind)})


def _tool(kind: str, line: Json) -> AgentEvent:
    call = as_text(line.get("id"))
    if kind == "tool_use":
        given = as_object(line.get("input"))
        data: Json = {"id": call, "name": as_text(line.get("name")), "input": given}
        return AgentEvent(kind=EventKind.TOOL_USE, data=data)
    output, is_error = as_text(line.get("output")), line.get("is_error") is True
    data = {"id": call, "output": output, "is_error": is_error}
    return AgentEvent(kind=EventKind.TOOL_RESULT, data=data)


def _usage(line: Json) -> Usage:
    return Usage(
        input_tokens=as_count(line.get("input_tokens")),
        output_tokens=as_count(line.get("output_tokens")),
        turns=1,
        model=_MODEL,
    )


def _failure(line: Json) -> tuple[Ending, str]:
    reason = as_text(line.get("reason"))
    ending = Ending(reason) if reason in set(Ending) else Ending.FAILED
    return ending, as_text(line.get("text")) or "The demo agent failed"


def _reset(ending: Ending, message: str, now: datetime | None) -> datetime | None:
    return reset_of(message, now) if ending is Ending.QUOTA_EXHAUSTED and now else None
