"""A place to run real agent programs in: home, workspaces, and the rule that nothing survives."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from internal.agent.base import Agent
from internal.agent.catalog import find
from internal.agent.model import AgentEvent, AgentRequest, AgentResult, EventKind
from internal.agent.run import AgentRun, RunOptions, run_agent
from internal.clock import SystemClock
from internal.process.isolation import NOT_WANTED, Isolation
from tests.support.zoo import survivors

CANARY = "sk-canary-0123456789-canary"
"""Whatever holds it after redaction has leaked it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One run that is over."""

    events: list[AgentEvent]
    result: AgentResult
    output: str
    """What was kept of its output for the operator."""

    def told(self, kind: EventKind) -> list[dict[str, Any]]:
        """The data of all events of one kind."""
        return [event.data for event in self.events if event.kind is kind]


Act = Callable[[AgentRun, AgentEvent], Awaitable[None]]


async def _watch_only(run: AgentRun, event: AgentEvent) -> None:
    """Let the agent go on."""


@dataclass(slots=True)
class AgentPlace:
    """Runs agents below *root*; each call of `run` is one run of one agent."""

    root: Path
    name: str = "demo"
    executable: str | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])
    environment_names: tuple[str, ...] = ()
    isolation: Isolation = NOT_WANTED
    marker: str = field(default_factory=lambda: f"place.{os.getpid()}.1.{secrets.token_hex(8)}")

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)
        self.home.mkdir()
        self.workspace.mkdir()

    @property
    def agent(self) -> Agent:
        """The driver."""
        driver = find(self.name)
        assert driver is not None
        return driver

    @property
    def home(self) -> Path:
        """HOME of the agent."""
        return self.root / "home"

    @property
    def workspace(self) -> Path:
        """Where the agent works."""
        return self.root / "work"

    def move(self, session_id: str, *, to: str) -> AgentPlace:
        """A new place beside this one, with a copy of its home made ready for the session."""
        place = AgentPlace(
            root=self.root / to,
            name=self.name,
            executable=self.executable,
            environment=self.environment,
            environment_names=self.environment_names,
            isolation=self.isolation,
        )
        without = shutil.ignore_patterns(".cache")  # as the worker keeps a home
        shutil.copytree(self.home, place.home, symlinks=True, dirs_exist_ok=True, ignore=without)
        found = self.agent.prepare_session(place.home, self.workspace, place.workspace, session_id)
        assert found, "the session is not in the copied home"
        return place

    @asynccontextmanager
    async def start(self, prompt: str, **given: Any) -> AsyncGenerator[AgentRun]:
        """A running agent."""
        request = AgentRequest(
            prompt=prompt,
            workspace=self.workspace,
            home=self.home,
            executable=self.executable,
            environment={"PATH": os.environ["PATH"], **self.environment},
            environment_names=self.environment_names,
            **given,
        )
        options = RunOptions(
            run_marker=self.marker,
            redact=lambda text: text.replace(CANARY, "[redacted]"),
            output_path=self.root / "output",
            launcher=self.isolation.launcher(),
        )
        async with run_agent(self.agent, request, options, clock=SystemClock()) as run:
            yield run

    async def run(self, prompt: str, *, act: Act = _watch_only, **given: Any) -> Ended:
        """Run to the end; *act* may interfere at each event."""
        async with self.start(prompt, **given) as run:
            events: list[AgentEvent] = []
            async for event in run.events():
                events.append(event)
                await act(run, event)
            result = await run.result()
        output = (self.root / "output").read_text()
        return Ended(events=events, result=result, output=output)


@pytest.fixture
def place(tmp_path: Path) -> Generator[AgentPlace]:
    """A place for the demo agent."""
    place = AgentPlace(root=tmp_path)
    yield place
    assert survivors(place.marker) == []
