"""The agent CLIs of this machine as its settings name them, and how they are run."""

from __future__ import annotations

import os

from codeforge.wiring.collector import find_collector
from codeforge.wiring.disk import Disk
from internal.agent import catalog
from internal.agent.budget import EventLimits
from internal.clock import Clock
from internal.config.settings import Settings
from internal.process.isolation import Isolation
from internal.worker.agents import AgentHost, AgentSettings, HostSettings
from internal.worker.supervision import WatchNumbers


def agent_host(settings: Settings, disk: Disk, isolation: Isolation, clock: Clock) -> AgentHost:
    """What runs agents on this home; `probe` it before it is used."""
    configured = {
        "claude-code": settings.cli.claude_code,
        "demo": settings.cli.demo,
    }
    reporting = {"claude-code"} if settings.cli.claude_code.telemetry else set[str]()
    return AgentHost(
        catalog.AVAILABLE,
        {
            name: AgentSettings(
                executable=cli.path or None,
                environment_names=tuple(cli.env),
                default_model=cli.default_model or None,
                collector=find_collector(settings, os.environ) if name in reporting else None,
            )
            for name, cli in configured.items()
        },
        HostSettings(
            environment=dict(os.environ),
            event_limits=EventLimits(
                max_bytes=settings.events.max_bytes,
                max_event_bytes=settings.events.max_event_bytes,
            ),
            outage_grace_seconds=settings.workers.outage_grace_seconds,
            home=disk.home,
            watch=WatchNumbers(
                silence_seconds=settings.tasks.silence_seconds,
                tool_seconds=settings.control.budget.tool_seconds,
                repeats=settings.control.escalation.repeats,
                slow_end_seconds=settings.control.escalation.slow_end_seconds,
            ),
        ),
        isolation=isolation,
        layout=disk.layout,
        clock=clock,
    )
