"""
One run of an agent: its process and its parser put together.

No time limit is kept here: the worker watches `AgentRun.process` and ends it, with its reason.
Nothing of the agent is left when the context ends, whatever ends it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from internal.agent.base import Agent, Parser
from internal.agent.budget import EventBudget, EventLimits
from internal.agent.clip import Change, change_strings, cut_text
from internal.agent.dialogue import Speech
from internal.agent.model import (
    AgentEvent,
    AgentRequest,
    AgentResult,
    EventKind,
    ExitStatus,
    Json,
    Usage,
)
from internal.agent.outputfile import OutputFile
from internal.agent.privatefile import private_files
from internal.clock import Clock
from internal.process.limits import Limits
from internal.process.spec import Cause, Exit, Launcher, ProcessSpec, no_isolation
from internal.process.supervise import AgentProcess, start

_TEXT_BYTES = 256 * 1024  # of a result; what is shown of it is far less
_MODEL_BYTES = 256  # as long as a request may name one
_OF_THE_MODEL = frozenset({EventKind.TEXT, EventKind.THINKING, EventKind.TOOL_USE})
_STDERR_CHARACTERS = 16 * 1024  # so that a secret cut at the start of the kept tail is not in it


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How one run is kept and watched, the same for every agent."""

    run_marker: str
    """The value of CODEFORGE_RUN, by which what is left of a run is found."""
    redact: Change
    """Takes the secrets out of a string; applied to everything that leaves the run."""
    event_limits: EventLimits = field(default_factory=EventLimits)
    output_path: Path | None = None
    output_max_bytes: int = 16 * 1024 * 1024
    process_limits: Limits = field(default_factory=Limits)
    launcher: Launcher = no_isolation
    outage_grace_seconds: float = 120.0
    observe: Callable[[AgentEvent], None] | None = None
    """Sees every event as the agent told it, with its secrets, before any limit."""


@asynccontextmanager
async def run_agent(
    agent: Agent, request: AgentRequest, options: RunOptions, *, clock: Clock
) -> AsyncGenerator[AgentRun]:
    """
    Start *agent* in its workspace; leaving the context kills whatever is left of it.

        async with run_agent(agent, request, options, clock=clock) as run:
            async for event in run.events(): ...
            result = await run.result()

    Raises:
        ExecutableMissing, NotExecutable: the CLI is not there.
        WorkingDirectoryMissing, StartFailed: the system refused; nothing runs.
        DiskFull: no room for the files of the launch.
    """
    launch = agent.launch(request)
    spec = ProcessSpec(
        argv=launch.argv,
        environment=launch.environment,
        cwd=request.workspace,
        run_marker=options.run_marker,
        stdin=launch.stdin,
        close_stdin=launch.close_stdin,
        limits=options.process_limits,
        outage_grace_seconds=options.outage_grace_seconds,
        launcher=options.launcher,
    )
    output = OutputFile(
        options.output_path, max_bytes=options.output_max_bytes, redact=options.redact
    )
    with private_files(launch.files):
        async with await start(spec) as process:
            with output:
                parser = agent.parser(request)
                speech = Speech(process, None if launch.close_stdin else parser.dialogue)
                try:
                    yield AgentRun(process, parser, speech, output, options=options, clock=clock)
                finally:
                    speech.end()


class AgentRun:
    """
    A running agent; `process` is for those who hold its lease and watch its limits, `speech` for
    those who have something to say to it.
    """

    def __init__(
        self,
        process: AgentProcess,
        parser: Parser,
        speech: Speech,
        output: OutputFile,
        *,
        options: RunOptions,
        clock: Clock,
    ) -> None:
        self.process = process
        self.speech = speech
        self._parser = parser
        self._output = output
        self._redact = options.redact
        self._observe = options.observe
        self._budget = EventBudget(options.event_limits, options.redact)
        self._clock = clock
        self._started_at = clock.monotonic()
        self._first_answer_seconds: float | None = None

    @property
    def session_id(self) -> str | None:
        """The agent's session, as soon as a line named it."""
        return self._parser.session_id

    @property
    def usage(self) -> Usage:
        """What the run used so far, as far as its lines told."""
        return self._shown(self._parser.usage)

    @property
    def has_answered(self) -> bool:
        """Whether its model has said anything yet."""
        return self._first_answer_seconds is not None

    @property
    def stderr_tail(self) -> str:
        """The end of what the agent wrote to stderr, without secrets."""
        return self._redact(self.process.stderr_tail)[-_STDERR_CHARACTERS:]

    async def events(self) -> AsyncIterator[AgentEvent]:
        """
        The events until the end of output, in order, redacted and within the limits; call it once.

        A consumer that lags makes the agent wait. At the end comes what `EventBudget.tail` kept.
        """
        async for line in self.process.stdout_lines():
            self._output.add(line.content)
            events = self._parser.parse(line.content)
            self.speech.follow()
            share = (len(line.content) + line.dropped_bytes) // max(1, len(events))
            for event in events:
                if self._first_answer_seconds is None and event.kind in _OF_THE_MODEL:
                    self._first_answer_seconds = self._running_seconds()
                if self._observe is not None:
                    self._observe(event)
                if admitted := self._budget.admit(event, share):
                    yield admitted
        for event in self._budget.tail():
            yield event

    async def interrupt(self, reason: str) -> None:
        """End it where it is: by a word where it takes input, else as `AgentProcess.end`."""
        if not await self.speech.interrupt():
            await self.process.end(reason)

    def clean(self, text: str) -> str:
        """*text* without the secrets of the run."""
        return self._redact(text)

    async def result(self) -> AgentResult:
        """How the run ended, after the last event; waits until nothing of the agent is left."""
        end = await self.process.wait()
        result = self._parser.result(self._status(end))
        detail = None if result.detail is None else change_strings(result.detail, self._redact)
        return replace(
            result,
            text=cut_text(result.text, limit_bytes=_TEXT_BYTES, redact=self._redact),
            message=cut_text(result.message, limit_bytes=_TEXT_BYTES, redact=self._redact),
            detail=cast("Json | None", detail),
            usage=self._shown(result.usage),
            first_answer_seconds=self._first_answer_seconds,
        )

    def _shown(self, usage: Usage) -> Usage:
        """
        With our own measure of the time where the agent gave none (it was killed), and without
        secrets in the name of the model.
        """
        if usage.model is not None:
            name = cut_text(usage.model, limit_bytes=_MODEL_BYTES, redact=self._redact)
            usage = replace(usage, model=name)
        if usage.duration_seconds > 0:
            return usage
        return replace(usage, duration_seconds=self._running_seconds())

    def _running_seconds(self) -> float:
        running = self._clock.monotonic() - self._started_at - self.process.frozen_seconds()
        return max(0.0, round(running, 3))

    def _status(self, end: Exit) -> ExitStatus:
        """A shim that something killed took the agent with it; that was not our wish."""
        ours = end.cause in {Cause.ENDED, Cause.LEASE}
        return ExitStatus(
            code=end.code,
            signal=end.signal,
            stderr_tail=self.stderr_tail,
            ended_by=(end.reason or end.cause.value) if ours else None,
            ended_at=self._clock.now(),
        )
