"""
Directories of ours by tenant, task and claim: kept agent homes, whole outputs.

Both live in `data_dir`, where only we write, and go when their claim is swept or their task erased.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from internal.errors import disk_errors
from internal.workspace.files import GRAVE_PREFIX, copy, empty_grave, remove, unlock
from internal.workspace.layout import checked_name

# Made again when needed, and often larger than everything else in a home.
_NOT_KEPT = frozenset({".cache", ".npm"})


class ClaimFolders:
    """`<root>/<tenant>/<task>/<claim>`, a file or a directory per claim."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, tenant: str, task: str, claim: str) -> Path:
        return self._task(tenant, task) / checked_name(claim)

    async def list_claims(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """Of each task (tenant, task) on this disk, the claims that have something here."""
        return await asyncio.to_thread(_list_claims, self._root)

    async def drop(self, tenant: str, task: str, claim: str) -> None:
        """Remove what is kept of one claim; nothing when there is none."""
        await asyncio.to_thread(remove, self.path(tenant, task, claim))

    async def erase(self, tenant: str, task: str) -> None:
        """Remove what is kept of a task; nothing when there is none."""
        await asyncio.to_thread(remove, self._task(tenant, task))

    def _task(self, tenant: str, task: str) -> Path:
        return self._root / checked_name(tenant) / checked_name(task)


class Sessions(ClaimFolders):
    """The agents' homes as they were at the end of each run."""

    async def keep(self, tenant: str, task: str, claim: str, home: Path) -> None:
        """
        Take *home* over as the session of *claim*: moved where a rename can, copied otherwise.

        Repeatable; without *home* nothing happens.

        Raises:
            DiskFull: no room for a copy.
        """
        await asyncio.to_thread(_keep, home, self.path(tenant, task, claim))

    async def give(self, tenant: str, task: str, claim: str, home: Path) -> bool:
        """
        Copy the session of *claim* to the new directory *home*; False when there is none.

        Raises:
            DiskFull: no room for a copy.
        """
        return await asyncio.to_thread(_give, self.path(tenant, task, claim), home)


def _keep(home: Path, kept: Path) -> None:
    if home.is_symlink() or not home.is_dir():
        return
    with disk_errors():
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove(kept)
        unlock(home)
        for name in _NOT_KEPT:
            remove(home / name)
        try:
            os.rename(home, kept)
        except OSError:  # another file system
            _copy_whole(home, kept)


def _copy_whole(home: Path, kept: Path) -> None:
    making = kept.with_name(f"{GRAVE_PREFIX}{kept.name}")
    remove(making)
    try:
        copy(home, making, leave_out=_NOT_KEPT)
        os.rename(making, kept)
    except OSError:
        remove(making)
        raise


def _give(kept: Path, home: Path) -> bool:
    if not kept.is_dir():
        return False
    with disk_errors():
        copy(kept, home)
    return True


def _list_claims(root: Path) -> dict[tuple[str, str], frozenset[str]]:
    found: dict[tuple[str, str], frozenset[str]] = {}
    for task in root.glob("*/*"):
        if task.name.startswith(GRAVE_PREFIX):
            empty_grave(task)
            continue
        claims: set[str] = set()
        for entry in task.iterdir():
            if entry.name.startswith(GRAVE_PREFIX):
                with contextlib.suppress(FileNotFoundError):
                    empty_grave(entry)
            else:
                claims.add(entry.name)
        found[task.parent.name, task.name] = frozenset(claims)
    return found
