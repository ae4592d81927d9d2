"""
A whole home on disk for tests: mirrors, recorded work, workspaces, wired as the worker does it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from internal.clock import SystemClock
from internal.git.cache import Mirror, MirrorCache
from internal.git.cli import Git
from internal.git.credentials import SshFiles
from internal.git.remote import parse_remote
from internal.git.work import TrustedRepo
from internal.git.workstore import WorkStore
from internal.workspace.folders import Sessions
from internal.workspace.home import home_id
from internal.workspace.layout import Layout
from internal.workspace.manager import OpenWorkspace, Run, Workspaces
from internal.workspace.spare import Spares, SpareSettings

TENANT = "default"


async def anywhere(host: str, _port: int) -> str:
    """A vet that lets everything pass; hosts in tests are addresses already."""
    return host


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHome:
    """The stores of one `data_dir`."""

    layout: Layout
    git: Git
    mirrors: MirrorCache
    works: WorkStore
    sessions: Sessions
    spares: Spares
    workspaces: Workspaces

    async def mirror(
        self, url: str, *, token: str | None = None, target: str | None = None
    ) -> Mirror:
        return await self.mirrors.ensure(parse_remote(url), token=token, target=target)

    async def open(
        self,
        mirror: Mirror,
        claim: str,
        *,
        task: str = "task1",
        start: str | None = None,
        previous: str | None = None,
    ) -> tuple[OpenWorkspace, TrustedRepo]:
        """Open the workspace of a claim at the mirror's commit, or at recorded work."""
        repo = await self.works.open(TENANT, task, mirror)
        run = Run(
            tenant=TENANT,
            task=task,
            claim=claim,
            base=mirror.commit,
            branch=mirror.branch,
            start=start or mirror.commit,
            previous=previous,
        )
        return await self.workspaces.open(run, source=mirror, records=repo), repo


def git_home(
    root: Path,
    *,
    borrow: bool = False,
    spares: SpareSettings | None = None,
    lock_seconds: float = 60,
) -> GitHome:
    """The home with its `data_dir` and workspaces below *root*, made if missing."""
    layout = Layout(data_dir=root / "data", workspace_base=root / "workspaces")
    git = Git(home=layout.git_home, environment=os.environ)
    mirrors = MirrorCache(
        layout.mirrors, git, vet=anywhere, ssh=SshFiles(), lock_seconds=lock_seconds
    )
    sessions = Sessions(layout.sessions)
    ready = Spares(layout, home_id(layout), spares or SpareSettings(), borrow=borrow)
    return GitHome(
        layout=layout,
        git=git,
        mirrors=mirrors,
        works=WorkStore(layout.works, git, mirrors),
        sessions=sessions,
        spares=ready,
        workspaces=Workspaces(
            layout,
            home_id(layout),
            spares=ready,
            sessions=sessions,
            borrow=borrow,
            clock=SystemClock(),
        ),
    )
