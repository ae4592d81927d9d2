"""
Second step of a run: the agent's process, watched until its end.

Knows which CLIs this worker has. A run ends by itself, by one of its limits, or by its `Hold`; the
process tree is gone when `run` returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from internal.agent.base import Agent
from internal.agent.budget import EventLimits
from internal.agent.mcpconfig import programs_of
from internal.agent.model import (
    AgentEvent,
    AgentRequest,
    AgentResult,
    Ending,
    ModelAccess,
    Probe,
    Reporting,
)
from internal.agent.run import AgentRun, RunOptions, run_agent
from internal.clock import Clock
from internal.control.budget import TOOL_SECONDS, Standing
from internal.control.escalation import Signal
from internal.errors import CodeforgeError, disk_errors
from internal.fault import fault_point
from internal.process.errors import ExecutableMissing, NotExecutable
from internal.process.isolation import Isolation
from internal.process.leftovers import own_marker
from internal.redact import Redactor
from internal.task.event import from_agent, new_event
from internal.task.model import DEFAULT_TENANT, Claim, Task
from internal.telemetry.collector import Collector
from internal.telemetry.tracing import current_traceparent
from internal.worker.directives import Courier
from internal.worker.lease import Stop
from internal.worker.repeats import Repeats
from internal.worker.run import Run
from internal.worker.spans import Observe, agent_span, tell_result, tool_spans
from internal.worker.watchdog import LimitKind, watch
from internal.workspace.layout import Layout

log = structlog.get_logger(__name__)


_SHORTEST_SECRET = 6
"""As in `internal.redact`: shorter values stand everywhere."""


class AgentUnavailable(CodeforgeError):  # noqa: N818 -- named as all of `internal.errors`
    """This worker lacks the CLI that the task asks for."""

    code = "agent_missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """What the operator set for one CLI."""

    executable: str | None = None
    environment_names: tuple[str, ...] = ()
    default_model: str | None = None
    collector: Collector | None = None
    """Where it reports its own telemetry; None: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchNumbers:
    """From when on what a run does is a signal."""

    silence_seconds: int = 600
    """A run that was given less ended as its client wanted."""
    tool_seconds: int = 0
    """The same for one call of a tool; 0: the deployment has no limit, so only clients have."""
    repeats: int = 8
    """Identical actions in a row of which a task is warned; twice as many end it. 0: never."""
    slow_end_seconds: float = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What all runs of this worker share. `environment` is the worker's own."""

    environment: Mapping[str, str] = field(repr=False)
    event_limits: EventLimits
    outage_grace_seconds: float
    home: str
    watch: WatchNumbers = WatchNumbers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the agent ended; `stopped` says who ended it, None when it did by itself."""

    result: AgentResult
    stopped: Stop | LimitKind | Standing | None
    log_tail: str
    frozen_seconds: float = 0.0
    repeated: tuple[str, int] | None = None
    """The tool that was called again and again, and how often, when that ended the run."""


class AgentHost:
    """The CLIs of one worker."""

    def __init__(
        self,
        agents: Mapping[str, Agent],
        configured: Mapping[str, AgentSettings],
        settings: HostSettings,
        *,
        isolation: Isolation,
        layout: Layout,
        clock: Clock,
    ) -> None:
        self._agents = agents
        self._configured = configured
        self._settings = settings
        self.isolation = isolation
        """What stands between them and the machine."""
        self._layout = layout
        self._clock = clock
        self._probes: dict[str, Probe] = {}
        self._deaf: set[str] = set()

    def find(self, name: str) -> Agent:
        """
        The driver of a CLI.

        Raises:
            AgentUnavailable: this version has no driver of that name.
        """
        agent = self._agents.get(name)
        if agent is None:
            raise AgentUnavailable(f"this worker has no agent {name}")
        return agent

    def credentials(self, agent: Agent) -> tuple[str, ...]:
        """What this worker itself gives *agent*; it must not appear in anything the run leaves."""
        names = (*agent.credential_names, *self._of(agent.name).environment_names)
        values = (self._settings.environment.get(name, "") for name in names)
        return tuple(value for value in values if len(value) >= _SHORTEST_SECRET)

    def has_credential(self, agent: Agent, tenant: str) -> bool:
        """Whether this worker's environment lets *agent* reach its model for that tenant."""
        environment = self._environment_for(agent, tenant)
        return any(environment.get(name) for name in agent.credential_names)

    def environment_credential(self, agent: Agent, tenant: str) -> str:
        """What *agent* finds here to reach its model, in one string; empty when nothing."""
        environment = self._environment_for(agent, tenant)
        found = (f"{name}={environment.get(name) or ''}" for name in agent.credential_names)
        return "\n".join(found) if self.has_credential(agent, tenant) else ""

    def endpoint(
        self, agent: Agent, tenant: str, *, key: str | None, url: str | None
    ) -> str | None:
        """The host that a run of that tenant calls for its model, with this *key* or none."""
        return agent.endpoint(
            ModelAccess(
                api_key=key,
                api_url=url,
                environment=self._environment_for(agent, tenant),
                environment_names=self._of(agent.name).environment_names,
            )
        )

    async def probe(self) -> Mapping[str, Probe]:
        """Look which CLIs can run here; kept for `record` and the event of a start."""
        names = list(self._agents)
        found = await asyncio.gather(
            *(
                self._agents[name].probe(self._of(name).executable, self._settings.environment)
                for name in names
            )
        )
        self._probes = dict(zip(names, found, strict=True))
        return self._probes

    def record(self) -> dict[str, Any]:
        """What the registry says of this worker's CLIs."""
        return {
            name: {
                "available": probe.available,
                "version": probe.version,
                "reason": probe.reason,
            }
            for name, probe in self._probes.items()
        }

    async def run(
        self,
        agent: Agent,
        request: AgentRequest,
        run: Run,
        secrets: tuple[str, ...],
    ) -> Ended:
        """
        Run *agent* to its end; its events are with the recorder, its tree is gone.

        *secrets* are taken out of everything it says, and so are the credentials it gets from us.

        Raises:
            AgentUnavailable: the CLI is not there; StartFailed: the system refused.
        """
        configured, probe = self._of(agent.name), self._probes.get(agent.name)
        request = replace(
            request,
            model=request.model or configured.default_model,
            environment=self._environment_for(agent, run.claim.task.tenant),
            environment_names=configured.environment_names,
            executable=configured.executable,
            takes_input=probe is not None and probe.is_genuine and agent.name not in self._deaf,
        )
        collector = configured.collector
        authorities = (Path(collector.ca_file),) if collector and collector.ca_file else ()
        options = await self._options(
            run.claim,
            (*secrets, *self.credentials(agent)),
            readable=(*request.readable, *authorities),
            programs=programs_of(request.mcp_servers),
        )
        with (
            agent_span(
                agent,
                task=run.claim.task.id,
                model=request.model,
                version=probe.version if probe else None,
            ) as current,
            tool_spans(options.redact) as observe,
        ):
            request = replace(request, reporting=_reporting(collector, run.claim.task))
            repeats = self._repeats(run, options)
            watched = replace(options, observe=_all(run.spending.see, repeats.see, observe))
            ended = await self._run(agent, request, run, watched, repeats)
            tell_result(current, ended.result)
            return ended

    async def _run(
        self,
        agent: Agent,
        request: AgentRequest,
        run: Run,
        options: RunOptions,
        repeats: Repeats,
    ) -> Ended:
        try:
            async with run_agent(agent, request, options, clock=self._clock) as started:
                self._say_started(agent, request, run)
                fault_point("agent_started")
                ended = await self._watch(started, run, repeats)
                if started.speech.is_deaf and ended.stopped is None:
                    self._deaf.add(agent.name)  # no other run waits for it
                return ended
        except (ExecutableMissing, NotExecutable) as error:
            raise AgentUnavailable(f"{agent.name}: {error.message}") from error

    def _environment_for(self, agent: Agent, tenant: str) -> Mapping[str, str]:
        """This worker's variables; its credentials are the operator's, for the first tenant."""
        whole = self._settings.environment
        if tenant == DEFAULT_TENANT:
            return whole
        return {name: value for name, value in whole.items() if name not in agent.credential_names}

    def _repeats(self, run: Run, options: RunOptions) -> Repeats:
        def warn(tool: str, times: int) -> None:
            run.signals.note(Signal.REPEATS, tool=options.redact(tool), times=times)

        return Repeats(self._settings.watch.repeats, warn)

    async def _watch(self, started: AgentRun, run: Run, repeats: Repeats) -> Ended:
        run.hold.attach(started.process.hold_lease)
        run.spending.begin(started)
        decided: asyncio.Future[Stop | LimitKind | Standing] = (
            asyncio.get_running_loop().create_future()
        )
        guard = asyncio.create_task(self._guard(started, run, decided, repeats))
        courier = Courier(started, run)
        carrying = asyncio.create_task(courier.run())
        try:
            on_answer = run.on_answer
            async for event in started.events():
                if on_answer is not None and started.has_answered:
                    await on_answer()
                    on_answer = None
                run.recorder.add(from_agent(event))
                await run.recorder.room()
            result = await started.result()
            await courier.conclude(carrying)
            run.spending.settle(result.usage)
        finally:
            carrying.cancel()
            run.hold.detach()
            guard.cancel()  # an ending that has begun goes on without it
            await asyncio.wait({guard})
        stopped = decided.result() if decided.done() else None
        if stopped is None and result.ending is Ending.STOPPED:
            stopped = Stop.OUTAGE  # the shim's own timer: nobody had renewed the lease
        self._note_end(started, run, stopped, result)
        return Ended(
            result=result,
            stopped=stopped,
            log_tail=started.stderr_tail,
            frozen_seconds=started.process.frozen_seconds(),
            repeated=repeats.reached.result() if stopped is LimitKind.REPEATS else None,
        )

    def _note_end(
        self,
        started: AgentRun,
        run: Run,
        stopped: Stop | LimitKind | Standing | None,
        result: AgentResult,
    ) -> None:
        if stopped is LimitKind.SILENCE:
            seconds = run.limits.silence_seconds
            counts = seconds >= self._settings.watch.silence_seconds
            run.signals.note(Signal.SILENCE, counts=counts, seconds=seconds)
        if isinstance(stopped, Standing) and stopped.budget == TOOL_SECONDS:
            counts = 0 < self._settings.watch.tool_seconds <= stopped.limit
            run.signals.note(Signal.STUCK_TOOL, counts=counts, seconds=stopped.limit)
        if stopped is None and not result.told_result:
            run.signals.note(Signal.NO_RESULT)
        if started.process.survivors:
            run.signals.note(Signal.SURVIVORS, processes=started.process.survivors)

    async def _guard(
        self,
        started: AgentRun,
        run: Run,
        decided: asyncio.Future[Stop | LimitKind | Standing],
        repeats: Repeats,
    ) -> None:
        """Wait for a reason to end the agent, say it, and end the agent."""
        watching = asyncio.create_task(watch(started.process, run.limits, self._clock))
        spending = asyncio.create_task(run.spending.watch())
        first: set[asyncio.Future[Any]] = {watching, spending, run.hold.stopped, repeats.reached}
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            spending.cancel()
        reason = _first(run.hold.stopped, watching, spending)
        decided.set_result(reason)
        word = reason.budget if isinstance(reason, Standing) else reason.value
        log.info("agent.ending", reason=word)
        if reason in {Stop.FENCED, Stop.OUTAGE}:
            await started.process.kill()
        elif reason is Stop.PAUSE:
            await started.interrupt(reason.value)
        else:
            await self._end(started, run, word)

    async def _end(self, started: AgentRun, run: Run, reason: str) -> None:
        began = self._clock.monotonic()
        try:
            await started.process.end(reason)
        finally:  # the run does not wait for this when nothing is left
            took = self._clock.monotonic() - began
            if took > self._settings.watch.slow_end_seconds:
                run.signals.note(Signal.SLOW_END, seconds=round(took, 1))

    def _say_started(self, agent: Agent, request: AgentRequest, run: Run) -> None:
        probe = self._probes.get(agent.name)
        told = {
            "cli": agent.name,
            "version": probe.version if probe else None,
            "iteration": run.claim.task.iteration,
            "resumed": request.session_id is not None,
        }
        run.recorder.add(new_event("system", "cli_started", told))

    async def _options(
        self,
        claim: Claim,
        secrets: tuple[str, ...],
        *,
        readable: Sequence[Path],
        programs: Sequence[str],
    ) -> RunOptions:
        task = claim.task
        output = self._layout.outputs / task.tenant / task.id / claim.claim
        with disk_errors():
            await asyncio.to_thread(output.parent.mkdir, parents=True, exist_ok=True, mode=0o700)
        return RunOptions(
            run_marker=str(own_marker(home=self._settings.home, claim=claim.claim)),
            redact=Redactor(secrets).redact,
            event_limits=self._settings.event_limits,
            output_path=output,
            launcher=self.isolation.launcher(readable=readable, programs=programs),
            process_limits=self.isolation.limits,
            outage_grace_seconds=self._settings.outage_grace_seconds,
        )

    def _of(self, name: str) -> AgentSettings:
        return self._configured.get(name, AgentSettings())


def _first(
    stopped: asyncio.Future[Stop],
    watching: asyncio.Future[LimitKind],
    spending: asyncio.Future[Standing],
) -> Stop | LimitKind | Standing:
    """Of those that are done; what was asked for goes before what was measured."""
    if stopped.done():
        return stopped.result()
    if watching.done():
        return watching.result()
    return spending.result() if spending.done() else LimitKind.REPEATS


def _all(*observers: Observe | None) -> Observe:
    asked = [observe for observe in observers if observe is not None]

    def see(event: AgentEvent) -> None:
        for observe in asked:
            observe(event)

    return see


def _reporting(collector: Collector | None, task: Task) -> Reporting | None:
    if collector is None:
        return None
    return Reporting(
        endpoint=collector.url,
        protocol=collector.transport.value,
        task=task.id,
        iteration=task.iteration,
        traceparent=current_traceparent(),
        ca_file=collector.ca_file,
    )
