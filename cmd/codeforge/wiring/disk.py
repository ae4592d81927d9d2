"""Everything of a home that lies on its disk, put together."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from internal.clock import SystemClock
from internal.config.settings import Settings
from internal.egress.guard import Guard
from internal.git.cache import MirrorCache
from internal.git.cli import Git
from internal.git.credentials import SshFiles
from internal.git.workstore import WorkStore
from internal.rdb.client import unavailable
from internal.task.queue import TaskQueue
from internal.task.service import TaskService
from internal.worker.prepare import Preparer, RemotePolicy
from internal.workspace.folders import ClaimFolders, Sessions
from internal.workspace.home import home_id
from internal.workspace.layout import Layout
from internal.workspace.manager import Workspaces
from internal.workspace.spare import Spares, SpareSettings
from internal.workspace.sweep import Sweep, TaskClaims, TaskRef

GIB = 1 << 30


class Disk:
    """One home; its id is made when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.layout = Layout(
            data_dir=settings.data_dir, workspace_base=settings.tasks.workspace_base
        )
        self.home = home_id(self.layout)
        git = Git(home=self.layout.git_home, environment=os.environ)
        named = [host for host in settings.git.allow_hosts if "*" not in host]
        guard = Guard([*settings.egress.allow, *named])
        self.mirrors = MirrorCache(
            self.layout.mirrors,
            git,
            vet=guard.vet,
            ssh=SshFiles(
                key_file=_path(settings.git.ssh_key_file),
                known_hosts_file=_path(settings.git.ssh_known_hosts_file),
            ),
        )
        self.works = WorkStore(self.layout.works, git, self.mirrors)
        self.sessions = Sessions(self.layout.sessions)
        self.outputs = ClaimFolders(self.layout.outputs)
        spare = SpareSettings(
            per_repository=settings.git.spare_trees,
            budget_bytes=int(settings.git.mirror_budget_gb * GIB),
        )
        self.spares = Spares(self.layout, self.home, spare, borrow=False)
        self.workspaces = Workspaces(
            self.layout, self.home, spares=self.spares, sessions=self.sessions, borrow=False
        )

    def preparer(self, service: TaskService) -> Preparer:
        """The first step of runs on this home."""
        policy = RemotePolicy(
            allow_local=self._settings.git.allow_local,
            allow_hosts=tuple(self._settings.git.allow_hosts),
        )
        return Preparer(
            service, self.mirrors, self.works, self.workspaces, self.layout, policy=policy
        )

    def sweep(self, queue: TaskQueue) -> Sweep:
        """The loop that removes what no task owns; *queue* tells what tasks own."""

        async def ask(refs: Collection[TaskRef]) -> dict[TaskRef, TaskClaims]:
            with unavailable():  # an outage costs the round, not the worker
                known = await queue.claims_of(list(refs))
            return {
                ref: TaskClaims(leased=claims.leased, recorded=claims.recorded)
                for ref, claims in known.items()
            }

        return Sweep(
            self.workspaces,
            (self.works, self.sessions, self.outputs),
            ask=ask,
            clock=SystemClock(),
            workspace_ttl_seconds=self._settings.tasks.workspace_ttl,
        )


def _path(text: str) -> Path | None:
    return Path(text) if text else None
