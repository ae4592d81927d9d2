"""
Directories of ours by tenant, task and claim: kept agent homes, whole outputs.

Both live in `data_dir`, where only we write, and go when their claim is swept or their task erased.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from internal.errors import disk_errors
from internal.workspace.copying import Budget, TooLarge, charge, copy
from internal.workspace.files import GRAVE_PREFIX, empty_grave, remove, unlock
from internal.workspace.layout import checked_name

# Made again when needed, and often larger than everything else in a home.
_NOT_KEPT = frozenset({".cache", ".npm"})

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


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

    def __init__(self, root: Path, *, max_bytes: int = 2 << 30) -> None:
        """*max_bytes* of disk may be taken by one session; a larger one is none."""
        super().__init__(root)
        self._max_bytes = max_bytes

    async def keep(self, tenant: str, task: str, claim: str, home: Path) -> None:
        """
        Take *home* over as the session of *claim*: moved where a rename can, copied otherwise.

        Repeatable; without *home*, or when it is too large, nothing is kept.

        Raises:
            DiskFull: no room for a copy.
        """
        kept = self.path(tenant, task, claim)
        await self._bounded(task, claim, lambda budget: _keep(home, kept, budget))

    async def give(self, tenant: str, task: str, claim: str, home: Path) -> bool:
        """
        Copy the session of *claim* to the new directory *home*; False when there is none, or when
        it is too large.

        Raises:
            DiskFull: no room for a copy.
        """
        kept = self.path(tenant, task, claim)
        return await self._bounded(task, claim, lambda budget: _give(kept, home, budget))

    async def _bounded(self, task: str, claim: str, step: Callable[[Budget], bool]) -> bool:
        """What *step* returns; False when it takes too much. It ends soon after a cancel."""
        stop = threading.Event()
        try:
            return await asyncio.to_thread(step, Budget(left_bytes=self._max_bytes, stop=stop))
        except TooLarge:
            log.warning(
                "workspace.session_too_large",
                task_id=task,
                claim=claim,
                max_bytes=self._max_bytes,
            )
            return False
        finally:
            stop.set()


def _keep(home: Path, kept: Path, budget: Budget) -> bool:
    if home.is_symlink() or not home.is_dir():
        return False
    with disk_errors():
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove(kept)
        unlock(home)
        for name in _NOT_KEPT:
            remove(home / name)
        charge(home, budget=replace(budget))
        try:
            os.rename(home, kept)
        except OSError:  # another file system
            making = kept.with_name(f"{GRAVE_PREFIX}{kept.name}")
            remove(making)
            _copy_or_nothing(home, making, budget)
            os.rename(making, kept)
    return True


def _give(kept: Path, home: Path, budget: Budget) -> bool:
    if not kept.is_dir():
        return False
    with disk_errors():
        _copy_or_nothing(kept, home, budget)
    return True


def _copy_or_nothing(source: Path, destination: Path, budget: Budget) -> None:
    try:
        copy(source, destination, budget=budget, leave_out=_NOT_KEPT)
    except FileExistsError:  # it is not ours
        raise
    except BaseException:
        remove(destination)
        raise


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
