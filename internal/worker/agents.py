"""
Second step of a run: the agent's process, with what this worker has for it.

Knows which CLIs are here, and what of the environment is whose. The process tree is gone when `run`
returns; `supervision` watches it until then.
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
    ModelAccess,
    Probe,
    Reporting,
)
from internal.agent.run import RunOptions, run_agent
from internal.clock import Clock
from internal.errors import CodeforgeError, disk_errors
from internal.fault import fault_point
from internal.process.errors import ExecutableMissing, NotExecutable
from internal.process.isolation import Isolation
from internal.process.leftovers import own_marker
from internal.redact import Redactor
from internal.task.event import new_event
from internal.task.model import DEFAULT_TENANT, Claim, Task
from internal.telemetry.collector import Collector
from internal.telemetry.tracing import current_traceparent
from internal.worker.run import Run
from internal.worker.spans import Observe, agent_span, tell_result, tool_spans
from internal.worker.supervision import Ended, Supervision, WatchNumbers
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
class HostSettings:
    """What all runs of this worker share. `environment` is the worker's own."""

    environment: Mapping[str, str] = field(repr=False)
    event_limits: EventLimits
    outage_grace_seconds: float
    home: str
    watch: WatchNumbers


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
            watch = Supervision(run, self._settings.watch, self._clock, redact=options.redact)
            seen = _all(run.spending.see, watch.repeats.see, observe)
            ended = await self._run(agent, request, run, replace(options, observe=seen), watch)
            tell_result(current, ended.result)
            return ended

    async def _run(
        self,
        agent: Agent,
        request: AgentRequest,
        run: Run,
        options: RunOptions,
        watch: Supervision,
    ) -> Ended:
        try:
            async with run_agent(agent, request, options, clock=self._clock) as started:
                self._say_started(agent, request, run)
                fault_point("agent_started")
                ended = await watch.until_ended(started)
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
