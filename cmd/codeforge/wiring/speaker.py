"""A worker's own word to Redis: what it is, how full its home is, and that it lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

from redis.client import Redis as SyncRedis

from codeforge import __version__
from codeforge.wiring.core import Core
from codeforge.wiring.machine import Machine
from internal.ids import sortable_id
from internal.task.heartbeat import BeatReply, heartbeat
from internal.workspace.quota import DiskQuota


class Speaker:
    """What a worker tells Redis of itself: its registry record, and its heartbeats."""

    def __init__(
        self,
        core: Core,
        machine: Machine,
        sync: SyncRedis,
        quota: DiskQuota,
        *,
        alone: bool,
    ) -> None:
        self._core = core
        self._sync = sync
        self._machine = machine
        self._quota = quota
        self.home = machine.disk.home
        self.slots = 1 if alone else core.settings.workers.concurrency
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{sortable_id()[-6:]}"

    def info(self, busy: int) -> dict[str, Any]:
        """The registry record while *busy* slots are in use."""
        agents, disk = self._machine.agents, self._machine.disk
        return {
            "host": socket.gethostname(),
            "slots": self.slots,
            "busy": busy,
            "version": __version__,
            "isolation": agents.isolation.name,
            "isolation_reason": agents.isolation.reason,
            "workspace_mb": disk.usage.mebibytes,
            "disk_level": self._quota.level.value,
            "agents": agents.record(),
        }

    def send(self, claims: Sequence[tuple[str, str]], record: str) -> BeatReply:
        """
        Renew *claims* (refs and tokens) and the *record*, and hear the time; blocks, for the
        heartbeat's thread.
        """
        reply = heartbeat(
            self._sync,
            self._core.keys,
            worker=self.worker,
            home=self.home,
            lease_seconds=self._core.settings.workers.lease_seconds,
            info=record,
            claims=claims,
        )
        self._machine.clock.tell(reply.now)
        return reply
