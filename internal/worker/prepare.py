"""
First step of a run: from a claim to a directory an agent can work in.

It starts from the newest recorded work before this iteration, here or rebuilt from the stored
patch, else from the base commit. The base commit is fixed by the first attempt that got so far.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from internal.agent.base import Agent
from internal.errors import PolicyDenied
from internal.git.cache import Mirror, MirrorCache
from internal.git.failure import GitFailed
from internal.git.remote import Remote, Scheme, check_policy, mask_url, parse_remote
from internal.git.work import TrustedRepo
from internal.git.workstore import WorkStore
from internal.task.event import new_event
from internal.task.model import Claim, Iteration, Work
from internal.task.service import TaskService
from internal.worker.patience import until_answered
from internal.worker.recorder import Recorder
from internal.workspace.layout import MARKER_NAME, Layout
from internal.workspace.manager import OpenWorkspace, Run, Workspaces

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePolicy:
    """Which repositories the operator allows."""

    allow_local: bool
    allow_hosts: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """
    Everything the run needs on disk.

    `session_id` is None when there is nothing to resume; with `is_rebuilt` the prompt must then
    tell what was said before, and with `work_lost` that its files are gone, too.
    """

    workspace: OpenWorkspace
    repo: TrustedRepo
    base: str
    session_id: str | None
    is_rebuilt: bool
    work_lost: bool
    iterations: tuple[Iteration, ...]


class Preparer:
    """Brings mirrors, recorded work and workspaces together."""

    def __init__(
        self,
        service: TaskService,
        mirrors: MirrorCache,
        works: WorkStore,
        workspaces: Workspaces,
        layout: Layout,
        *,
        policy: RemotePolicy,
    ) -> None:
        self._service = service
        self._mirrors = mirrors
        self._works = works
        self._workspaces = workspaces
        self._layout = layout
        self._policy = policy

    async def prepare(
        self, claim: Claim, agent: Agent, recorder: Recorder, *, token: str | None
    ) -> Prepared:
        """
        Make the workspace of a claim; *token* is for the remote.

        Raises:
            PolicyDenied, RepoNotFound, AuthFailed, CloneFailed, DiskFull: as git and workspace say.
        """
        began = time.monotonic()
        task = claim.task
        remote = parse_remote(task.repo_url)
        check_policy(
            remote,
            allow_local=self._policy.allow_local,
            allow_hosts=self._policy.allow_hosts,
        )
        await asyncio.to_thread(self._refuse_own_files, remote)
        recorder.add(new_event("git", "clone_started", {"repo_url": mask_url(task.repo_url)}))
        mirror = await self._mirror(claim, remote, token)
        repo = await self._works.open(task.tenant, task.id, mirror)
        known = await until_answered(
            lambda: self._service.get(task.tenant, task.id, with_iterations=True)
        )
        rows = tuple(row for row in known.iterations or () if row.number < task.iteration)
        before = None if claim.lost_work else _newest_work(rows)
        start = None
        if before is not None:
            start = await self._find_work(claim, repo, mirror, before)
            if start is None:
                recorder.add(new_event("system", "workspace_lost", {"home": before[1].home}))
        workspace = await self._workspaces.open(
            Run(
                tenant=task.tenant,
                task=task.id,
                claim=claim.claim,
                base=mirror.commit,
                branch=mirror.branch,
                start=start or mirror.commit,
                previous=before[1].claim if before and start else None,
            ),
            source=mirror,
            records=repo,
        )
        session = await self._resume(claim, agent, workspace, before[1] if before else None)
        told = {
            "commit": workspace.commit,
            "branch": workspace.branch,
            "mode": workspace.mode.value,
            "ms": round((time.monotonic() - began) * 1000),
        }
        recorder.add(new_event("git", "clone_completed", told))
        return Prepared(
            workspace=workspace,
            repo=repo,
            base=mirror.commit,
            session_id=session,
            is_rebuilt=session is None and bool(rows),
            work_lost=claim.lost_work or (before is not None and start is None),
            iterations=known.iterations or (),
        )

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

    async def _mirror(self, claim: Claim, remote: Remote, token: str | None) -> Mirror:
        task = claim.task
        if task.base_commit is not None:
            held = await self._mirrors.find_held(remote, task.id)
            if held is not None and held.commit == task.base_commit:
                return held
        target = task.base_commit or task.config.target_branch
        return await self._mirrors.ensure(remote, token=token, target=target)

    async def _find_work(
        self, claim: Claim, repo: TrustedRepo, mirror: Mirror, before: tuple[int, Work]
    ) -> str | None:
        """The commit to start from: here, or rebuilt from its patch; None when it is nowhere."""
        number, work = before
        if await repo.has(work.commit):
            return work.commit
        task = claim.task
        stored = await until_answered(
            lambda: self._service.stored_diff(task.tenant, task.id, number)
        )
        if stored is None or stored.truncated:
            log.warning("workspace.lost", work_home=work.home, iteration=number)
            return None
        try:
            rebuilt = await repo.apply_patch(
                stored.diff.patch, base=mirror.commit, claim=work.claim
            )
        except GitFailed as error:
            log.warning("workspace.not_rebuilt", error=error.message, iteration=number)
            return None
        if rebuilt.commit != work.commit:  # the same work has the same id on every home
            log.warning("workspace.rebuilt_differs", iteration=number)
            return None
        return rebuilt.commit

    async def _resume(
        self, claim: Claim, agent: Agent, workspace: OpenWorkspace, work: Work | None
    ) -> str | None:
        if work is None or work.session_id is None or not workspace.has_session:
            return None
        old_tree = self._layout.tree(claim.task.id, work.claim)
        there = await asyncio.to_thread(
            agent.prepare_session, workspace.home, old_tree, workspace.tree, work.session_id
        )
        return work.session_id if there else None


def _newest_work(rows: Sequence[Iteration]) -> tuple[int, Work] | None:
    for row in reversed(rows):
        if row.work is not None:
            return row.number, row.work
    return None
