"""Recorded output of real agents (tests/contract/fixtures), and what a parser makes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from internal.agent.base import Agent, Parser
from internal.agent.catalog import find
from internal.agent.model import AgentEvent, AgentRequest, AgentResult, ExitStatus

_FIXTURES = Path(__file__).parents[1] / "contract" / "fixtures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One run: the lines it printed and how its process ended."""

    agent: Agent
    version: str
    case: str
    lines: tuple[bytes, ...]
    status: ExitStatus
    session_id: str | None
    resumes: str | None

    def __str__(self) -> str:
        return f"{self.agent.name}-{self.version}-{self.case}"

    def parser(self) -> Parser:
        """A new parser, as for the run that was recorded."""
        return self.agent.parser(request(session_id=self.resumes))

    def replay(self, lines: Sequence[bytes] | None = None) -> Replay:
        """What a new parser makes of *lines*, by default the recorded ones."""
        parser = self.parser()
        events = [parser.parse(line) for line in (self.lines if lines is None else lines)]
        return Replay(events=events, result=parser.result(self.status), parser=parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The events line by line, the verdict, and the parser that gave them."""

    events: list[list[AgentEvent]]
    result: AgentResult
    parser: Parser

    def flat(self) -> list[tuple[str, dict[str, Any]]]:
        """Kind and data of all events in order, without `raw`."""
        return [(event.kind.value, event.data) for line in self.events for event in line]


def request(**given: Any) -> AgentRequest:
    """A request with what a test does not care about filled in."""
    defaults: dict[str, Any] = {
        "prompt": "do it",
        "workspace": Path("/work"),
        "home": Path("/home/of/task"),
    }
    return AgentRequest(**(defaults | given))


def recordings() -> list[Recording]:
    """All that is recorded, in a stable order."""
    return [_read(file) for file in sorted(_FIXTURES.glob("*/*/*.jsonl"))]


def recording(agent: str, version: str, case: str) -> Recording:
    """One of them."""
    return _read(_FIXTURES / agent / version / f"{case}.jsonl")


def _read(file: Path) -> Recording:
    agent = find(file.parts[-3])
    assert agent is not None, f"no driver for {file}"
    end = json.loads(file.with_suffix(".json").read_text())
    return Recording(
        agent=agent,
        version=file.parts[-2],
        case=file.stem,
        lines=tuple(file.read_bytes().splitlines()),
        status=ExitStatus(code=end["code"], signal=end["signal"], stderr_tail=end["stderr_tail"]),
        session_id=end["session_id"],
        resumes=end["resumes"],
    )
