"""
Where a task's work is: the mirror with its base commit, and the recorded work of its iterations.

What runs and what publishes both begin here, so both read the same, and only what was recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from internal.errors import PolicyDenied
from internal.git.cache import Mirror, MirrorCache
from internal.git.failure import GitFailed
from internal.git.policy import check_policy, check_ssh
from internal.git.remote import Remote, Scheme, parse_remote
from internal.git.work import TrustedRepo
from internal.git.workstore import WorkStore
from internal.task.model import DEFAULT_TENANT, Iteration, Task, Work
from internal.task.service import TaskService
from internal.worker.patience import until_answered
from internal.workspace.layout import MARKER_NAME, Layout

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePolicy:
    """Which repositories the operator allows."""

    allow_local: bool
    allow_hosts: Sequence[str]


class RecordedWork:
    """The mirrors and the work store of this home, asked for what a task needs."""

    def __init__(
        self,
        service: TaskService,
        mirrors: MirrorCache,
        works: WorkStore,
        layout: Layout,
        *,
        policy: RemotePolicy,
    ) -> None:
        self._service = service
        self._mirrors = mirrors
        self._works = works
        self._layout = layout
        self._policy = policy

    async def remote(self, task: Task) -> Remote:
        """The task's repository. Raises PolicyDenied when the operator does not allow it (now)."""
        remote = parse_remote(task.repo_url)
        check_policy(
            remote, allow_local=self._policy.allow_local, allow_hosts=self._policy.allow_hosts
        )
        check_ssh(remote, is_operator=task.tenant == DEFAULT_TENANT)
        await asyncio.to_thread(self._refuse_own_files, remote)
        return remote

    async def find_mirror(self, task: Task, remote: Remote) -> Mirror | None:
        """The mirror that holds the task's base commit, without asking the remote."""
        if task.base_commit is None:
            return None
        held = await self._mirrors.find_held(remote, task.id)
        return held if held is not None and held.commit == task.base_commit else None

    async def fetch_mirror(self, task: Task, remote: Remote, *, token: str | None) -> Mirror:
        """
        A mirror with the task's base commit, else with what its first run is to start from.

        Raises:
            RepoNotFound, AuthFailed, CloneFailed, PolicyDenied, DiskFull: as `MirrorCache.ensure`.
        """
        target = task.base_commit or task.config.target_branch
        return await self._mirrors.ensure(remote, token=token, target=target)

    async def open(self, task: Task, mirror: Mirror) -> TrustedRepo:
        """The task's trusted git directory, made if missing. Raises DiskFull, CloneFailed."""
        return await self._works.open(task.tenant, task.id, mirror)

    async def iterations(self, task: Task) -> tuple[Iteration, ...]:
        """All rows of the task, oldest first; asked until Redis answers."""
        known = await until_answered(
            lambda: self._service.get(task.tenant, task.id, with_iterations=True)
        )
        return known.iterations or ()

    async def find_commit(
        self, task: Task, repo: TrustedRepo, mirror: Mirror, row: Iteration, work: Work
    ) -> str | None:
        """The commit of *row*'s work: here, or rebuilt from its patch; None when it is nowhere."""
        if await repo.has(work.commit):
            return work.commit
        stored = await until_answered(
            lambda: self._service.stored_diff(task.tenant, task.id, row.number)
        )
        if stored is None or stored.truncated:
            log.warning("workspace.lost", work_home=work.home, iteration=row.number)
            return None
        try:
            rebuilt = await repo.apply_patch(
                stored.diff.patch, base=mirror.commit, claim=work.claim
            )
        except GitFailed as error:
            log.warning("workspace.not_rebuilt", error=error.message, iteration=row.number)
            return None
        if rebuilt.commit != work.commit:  # the same work has the same id on every home
            log.warning("workspace.rebuilt_differs", iteration=row.number)
            return None
        return rebuilt.commit

    def _refuse_own_files(self, remote: Remote) -> None:
        """A local repository must not be one of ours: they hold what other tasks may see."""
        if remote.scheme is not Scheme.FILE:
            return
        path = Path(remote.path).resolve()
        base = self._layout.workspace_base.resolve()
        if path.is_relative_to(base):
            top = base.joinpath(*path.relative_to(base).parts[:1])
            is_ours = top in {base, self._layout.spares} or (top / MARKER_NAME).exists()
        else:
            is_ours = path.is_relative_to(self._layout.data_dir.resolve())
        if is_ours:
            raise PolicyDenied("The repository lies in CodeForge's own directories.")


def newest_work(rows: Sequence[Iteration]) -> tuple[Iteration, Work] | None:
    """The newest of *rows* that left work, with it."""
    for row in reversed(rows):
        if row.work is not None:
            return row, row.work
    return None
