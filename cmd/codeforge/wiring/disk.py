"""Everything of a home that lies on its disk, put together."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from redis.asyncio import Redis

from codeforge.wiring.core import git_guard
from internal.clock import SystemClock
from internal.config.settings import Settings
from internal.errors import Conflict
from internal.git.cache import MirrorCache
from internal.git.cli import Git
from internal.git.credentials import SshFiles
from internal.git.evict import MirrorBudget
from internal.git.workstore import WorkStore
from internal.rdb.client import unavailable
from internal.rdb.health import deployment_id
from internal.rdb.keys import Keys
from internal.task.claims import claims_of
from internal.task.service import TaskService
from internal.worker.prepare import Preparer
from internal.worker.recorded import RecordedWork, RemotePolicy
from internal.worker.workspaces import WorkspaceAnswers
from internal.workspace.folders import ClaimFolders, Sessions
from internal.workspace.home import home_id
from internal.workspace.layout import Layout
from internal.workspace.manager import Workspaces
from internal.workspace.owner import is_own_deployment, owner_file
from internal.workspace.quota import DiskQuota, DiskThresholds
from internal.workspace.spare import Spares, SpareSettings
from internal.workspace.sweep import Ask, Sweep, TaskClaims, TaskRef
from internal.workspace.usage import WorkspaceUsage

GIB = 1 << 30


class Disk:
    """One home; its id is made when it is first asked for."""

    def __init__(self, settings: Settings, *, borrow: bool = False) -> None:
        """*borrow*: agents cannot write the mirrors, so their checkouts may use their objects."""
        self._settings = settings
        self.layout = Layout(
            data_dir=settings.data_dir, workspace_base=settings.tasks.workspace_base
        )
        self.home = home_id(self.layout)
        git = Git(home=self.layout.git_home, environment=os.environ)
        self.mirrors = MirrorCache(
            self.layout.mirrors,
            git,
            vet=git_guard(settings).vet,
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
        self.spares = Spares(self.layout, self.home, spare, borrow=borrow)
        self.workspaces = Workspaces(
            self.layout,
            self.home,
            spares=self.spares,
            sessions=self.sessions,
            borrow=borrow,
            clock=SystemClock(),
        )
        self.usage = WorkspaceUsage(self.workspaces)
        self.mirror_budget = MirrorBudget(
            self.layout.mirrors,
            budget_bytes=int(settings.git.mirror_budget_gb * GIB),
            on_evicted=self.spares.forget,
        )

    def recorded(self, service: TaskService) -> RecordedWork:
        """Where runs and create-prs of this home begin."""
        policy = RemotePolicy(
            allow_local=self._settings.git.allow_local,
            allow_hosts=tuple(self._settings.git.allow_hosts),
        )
        return RecordedWork(service, self.mirrors, self.works, self.layout, policy=policy)

    def preparer(self, service: TaskService) -> Preparer:
        """The first step of runs on this home."""
        return Preparer(self.recorded(service), self.workspaces, self.layout)

    def ask(self, redis: Redis, keys: Keys) -> Ask:
        """
        What tells whose things on this disk are, by what tasks own in Redis.

        Against another deployment than the home's own it refuses, so nothing is removed.
        """

        async def ask(refs: Collection[TaskRef]) -> dict[TaskRef, TaskClaims]:
            deployment = await deployment_id(redis, keys)
            if not is_own_deployment(self.layout.data_dir, deployment):
                raise Conflict(
                    "This data_dir holds the work of another deployment: check redis.url and "
                    f"redis.prefix, or remove {owner_file(self.layout.data_dir)} to give it up."
                )
            with unavailable():  # an outage costs the round, not the worker
                known = await claims_of(redis, keys, refs)
            return {
                ref: TaskClaims(
                    leased=claims.leased,
                    recorded=claims.recorded,
                    is_finished=claims.is_finished,
                )
                for ref, claims in known.items()
            }

        return ask

    def sweep(self, ask: Ask) -> Sweep:
        """The loop that removes what no task owns."""
        return Sweep(
            self.workspaces,
            (self.works, self.sessions, self.outputs),
            ask=ask,
            clock=SystemClock(),
            workspace_ttl_seconds=self._settings.tasks.workspace_ttl,
        )

    def quota(self, ask: Ask) -> DiskQuota:
        """The loop that keeps the workspaces below the thresholds."""
        tasks = self._settings.tasks
        thresholds = DiskThresholds(
            warning_bytes=int(tasks.disk_warning_threshold_gb * GIB),
            critical_bytes=int(tasks.disk_critical_threshold_gb * GIB),
        )
        return DiskQuota(self.workspaces, self.usage, thresholds, ask=ask)

    def answers(self, ask: Ask) -> WorkspaceAnswers:
        """What a server may want to know of the workspaces, and do with them."""
        ttl_seconds = self._settings.tasks.workspace_ttl
        return WorkspaceAnswers(self.workspaces, self.usage, ask=ask, ttl_seconds=ttl_seconds)


def _path(text: str) -> Path | None:
    return Path(text) if text else None
