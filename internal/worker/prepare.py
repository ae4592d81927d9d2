"""
First step of a run: from a claim to a directory an agent can work in.

It starts from what the run has recorded at a pause, else from the newest work before its iteration,
here or rebuilt from the stored patch, else from the base commit. The base commit is fixed by the
first attempt that got so far.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from internal.agent.base import Agent
from internal.fault import fault_point
from internal.git.cache import Mirror
from internal.git.remote import mask_url
from internal.git.work import TrustedRepo
from internal.task.event import NewEvent, new_event
from internal.task.model import Claim, Iteration, Task, Work
from internal.worker.recorded import RecordedWork, newest_work
from internal.worker.recorder import Recorder
from internal.workspace.layout import Layout
from internal.workspace.manager import OpenWorkspace, Run, Workspaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """
    Everything the run needs on disk.

    `session_id` is None when there is nothing to resume; with `is_rebuilt` the prompt must then
    tell what was said before, and with `work_lost` that its files are gone, too. `goes_on`: the
    run had been paused, so its session knows its prompt, and the tree has some of its work.
    """

    workspace: OpenWorkspace
    objects: Path
    """Those of the mirror, which the workspace may borrow from."""
    repo: TrustedRepo
    base: str
    session_id: str | None
    is_rebuilt: bool
    work_lost: bool
    goes_on: bool = False
    iterations: tuple[Iteration, ...]


class Preparer:
    """Brings mirrors, recorded work and workspaces together."""

    def __init__(self, recorded: RecordedWork, workspaces: Workspaces, layout: Layout) -> None:
        self._recorded = recorded
        self._workspaces = workspaces
        self._layout = layout

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
        mirror = await self._mirror(task, recorder, token)
        repo = await self._recorded.open(task, mirror)
        iterations = await self._recorded.iterations(task)
        # A row of its own has work only from a pause: whatever begins a run clears it.
        rows = tuple(row for row in iterations if row.number <= task.iteration)
        before = None if claim.lost_work else newest_work(rows)
        start = None
        if before is not None:
            start = await self._recorded.find_commit(task, repo, mirror, *before)
            if start is None:
                recorder.add(new_event("system", "workspace_lost", {"home": before[1].home}))
        run = Run(
            tenant=task.tenant,
            task=task.id,
            claim=claim.claim,
            base=mirror.commit,
            branch=mirror.branch,
            start=start or mirror.commit,
            previous=before[1].claim if before and start else None,
        )
        workspace = await self._workspaces.open(run, source=mirror, records=repo)
        fault_point("workspace_ready")
        session = await self._resume(claim, agent, workspace, before[1] if before else None)
        goes_on = before is not None and before[0].number == task.iteration
        recorder.add(_completed(workspace, time.monotonic() - began))
        return Prepared(
            workspace=workspace,
            objects=mirror.objects,
            repo=repo,
            base=mirror.commit,
            session_id=session,
            is_rebuilt=session is None and (goes_on or task.iteration > 1),
            work_lost=claim.lost_work or (before is not None and start is None),
            goes_on=goes_on,
            iterations=iterations,
        )

    async def _mirror(self, task: Task, recorder: Recorder, token: str | None) -> Mirror:
        remote = await self._recorded.remote(task)
        recorder.add(new_event("git", "clone_started", {"repo_url": mask_url(task.repo_url)}))
        mirror = await self._recorded.find_mirror(task, remote)
        if mirror is None:
            mirror = await self._recorded.fetch_mirror(task, remote, token=token)
            fault_point("mirror_fetched")
        return mirror

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


def _completed(workspace: OpenWorkspace, seconds: float) -> NewEvent:
    told = {
        "commit": workspace.commit,
        "branch": workspace.branch,
        "mode": workspace.mode.value,
        "ms": round(seconds * 1000),
    }
    return new_event("git", "clone_completed", told)
