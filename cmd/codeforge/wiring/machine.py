"""What a worker has of its own machine."""

from __future__ import annotations

from dataclasses import dataclass

from codeforge.wiring.disk import Disk
from internal.clock import ToldClock
from internal.worker.agents import AgentHost


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Its disk, its agents, and the time: Redis', as each heartbeat brings it."""

    disk: Disk
    agents: AgentHost
    clock: ToldClock
