"""
The directories agents work in: one per task and claim, opened, kept, taken over and removed.

A run starts where the recorded work before it ended. The directory of that work is taken over, with
the ignored files in it, only when it still equals what was recorded; otherwise the tree is made
anew, from a ready one where there is one. Nothing that an agent wrote is trusted to say which of
the two it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from internal.clock import Clock
from internal.errors import disk_errors
from internal.workspace.files import GRAVE_PREFIX, empty_grave, remove
from internal.workspace.folders import Sessions
from internal.workspace.layout import MARKER_NAME, Layout
from internal.workspace.marker import Marker, read_marker, write_marker
from internal.workspace.spare import Position, Spares
from internal.workspace.trees import Records, Source

_USED = "used"


class Mode(StrEnum):
    """Where a workspace's files came from."""

    SPARE = "spare"
    CHECKOUT = "checkout"
    REUSED = "reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    Whose workspace it is and where it starts.

    `base` is the task's base commit; `start` the recorded commit the run goes on from and
    `previous` its claim, or base and None for a first run.
    """

    tenant: str
    task: str
    claim: str
    base: str
    branch: str | None
    start: str
    previous: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWorkspace:
    """
    A directory ready for an agent: `tree` is its checkout, `home` its HOME.

    `has_session` says that `home` holds the session saved with the work before.
    """

    tree: Path
    home: Path
    mode: Mode
    commit: str
    branch: str | None
    has_session: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """
    What one task has here: each claim that has a directory, with its last use (opened or kept; 0
    when that is not known). Times in seconds since the epoch.
    """

    created_at: float
    claims: Mapping[str, float]


class Workspaces:
    """The workspaces of one home."""

    def __init__(
        self,
        layout: Layout,
        home: str,
        *,
        spares: Spares,
        sessions: Sessions,
        borrow: bool,
        clock: Clock,
    ) -> None:
        """
        *home* is the id of our `data_dir`; *borrow*: the agents' `.git` may use mirrors' objects.
        """
        self._layout = layout
        self._home = home
        self._spares = spares
        self._sessions = sessions
        self._borrow = borrow
        self._clock = clock

    async def open(self, run: Run, *, source: Source, records: Records) -> OpenWorkspace:
        """
        Make the workspace of a claim. *source* has the base commit, *records* the start commit.

        Raises:
            DiskFull: no room; what was begun is removed by `drop` or the sweep.
            GitFailed: a commit is not here.
        """
        layout = self._layout
        tree, home = layout.tree(run.task, run.claim), layout.home(run.task, run.claim)
        with disk_errors():
            await asyncio.to_thread(self._prepare, run)
            mode = Mode.REUSED
            if not await self._take_over(run, tree, records):
                mode = await self._make(run, tree, source, records)
            has_session = run.previous is not None and await self._sessions.give(
                run.tenant, run.task, run.previous, home
            )
            if not has_session:
                await asyncio.to_thread(home.mkdir, mode=0o700)
        return OpenWorkspace(
            tree=tree,
            home=home,
            mode=mode,
            commit=run.base,
            branch=run.branch,
            has_session=has_session,
        )

    async def keep(self, tenant: str, task: str, claim: str) -> None:
        """
        Keep the agent's home as the session of *claim*, before the finish records it; repeatable.

        Raises:
            DiskFull: no room for it.
        """
        await self._sessions.keep(tenant, task, claim, self._layout.home(task, claim))
        with contextlib.suppress(FileNotFoundError):
            await asyncio.to_thread(os.utime, self._layout.claim(task, claim) / _USED)

    async def drop(self, tenant: str, task: str, claim: str) -> None:
        """Remove the workspace of a claim, not its session; nothing when there is none."""
        if await asyncio.to_thread(self._is_ours, tenant, task):
            await asyncio.to_thread(remove, self._layout.claim(task, claim))

    async def erase(self, tenant: str, task: str) -> None:
        """Remove every workspace of a task; nothing when there is none."""
        if await asyncio.to_thread(self._is_ours, tenant, task):
            await asyncio.to_thread(_remove_task, self._layout.task(task))

    async def list(self) -> Mapping[tuple[str, str], Held]:
        """What each task (tenant, task) with our marker has here."""
        return await asyncio.to_thread(self._list, finish_removals=False)

    async def list_claims(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """The same, only the claims, with removals finished that a killed process began."""
        found = await asyncio.to_thread(self._list, finish_removals=True)
        return {task: frozenset(held.claims) for task, held in found.items()}

    def folder(self, task: str, claim: str) -> Path:
        """Where the workspace of a claim lies."""
        return self._layout.claim(task, claim)

    def _prepare(self, run: Run) -> None:
        layout = self._layout
        folder = layout.task(run.task)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        now = self._clock.now().timestamp()
        marker = Marker(home=self._home, tenant=run.tenant, task=run.task, created_at=now)
        write_marker(folder, marker, claim=run.claim)
        claim = layout.claim(run.task, run.claim)
        remove(claim)
        claim.mkdir(mode=0o700)
        (claim / _USED).touch()

    async def _take_over(self, run: Run, tree: Path, records: Records) -> bool:
        if run.previous is None:
            return False
        before = self._layout.tree(run.task, run.previous)
        if not await records.equals(before, claim=run.previous, commit=run.start):
            return False
        try:
            await asyncio.to_thread(os.rename, before, tree)
        except FileNotFoundError:  # removed since it was compared, to make room or on demand
            return False
        await asyncio.to_thread(shutil.copy2, records.index(run.previous), records.index(run.claim))
        await asyncio.to_thread(remove, self._layout.claim(run.task, run.previous))
        return True

    async def _make(self, run: Run, tree: Path, source: Source, records: Records) -> Mode:
        index = records.index(run.claim)
        spare = await self._spares.take(source, tree, index)
        if spare is None:
            await asyncio.to_thread(tree.mkdir, mode=0o700)
        if spare is None or spare.commit != run.base:
            await source.checkout.reset(tree, index, run.base)
        if spare != Position(run.base, run.branch):
            await source.checkout.attach(
                tree, index, url=source.url, commit=run.base, branch=run.branch, borrow=self._borrow
            )
        if run.start != run.base:
            # The agent's own index stays at the base: the work so far shows as its changes.
            await records.checkout.reset(tree, index, run.start)
        return Mode.SPARE if spare else Mode.CHECKOUT

    def _is_ours(self, tenant: str, task: str) -> bool:
        marker = read_marker(self._layout.task(task), self._home)
        return marker is not None and marker.tenant == tenant

    def _list(self, *, finish_removals: bool) -> dict[tuple[str, str], Held]:
        found: dict[tuple[str, str], Held] = {}
        for folder in _folders(self._layout.workspace_base):
            marker = read_marker(folder, self._home)
            if marker is None:
                continue
            claims = dict[str, float]()
            for entry in _folders(folder):
                if not entry.name.startswith(GRAVE_PREFIX):
                    claims[entry.name] = _last_use(entry)
                elif finish_removals:
                    empty_grave(entry)
            found[marker.tenant, marker.task] = Held(created_at=marker.created_at, claims=claims)
        return found


def _remove_task(folder: Path) -> None:
    # The marker goes last: what a killed process leaves is still known as ours.
    with contextlib.suppress(FileNotFoundError):
        for entry in list(folder.iterdir()):
            if entry.name != MARKER_NAME:
                remove(entry)
        (folder / MARKER_NAME).unlink()
        folder.rmdir()


def _folders(parent: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return [Path(e.path) for e in os.scandir(parent) if e.is_dir(follow_symlinks=False)]
    return []


def _last_use(claim: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return (claim / _USED).lstat().st_mtime
    return 0.0
