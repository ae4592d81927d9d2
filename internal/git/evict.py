"""
Loop: keeps the mirrors of this home below their budget; the one unused for longest goes first.

A mirror that holds the base commit of a task's kept work never goes, and none that was used a
moment ago: between asking the remote and holding the commit, a run has only the files. Under the
lock of the mirror it is renamed away, then removed, so that a whole one or none is found under its
name. A run that was about to use it all the same fails as retryable, and fetches it anew.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from internal.git.lock import file_lock
from internal.git.mirror_files import is_held, last_use, lock_file

_PERIOD_SECONDS = 300.0
_LOCK_SECONDS = 0.1  # whoever has it is fetching, so the mirror is in use
_GONE = ".evicted-"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Mirror:
    path: Path
    size_bytes: int
    used_at: float


class MirrorBudget:
    """The mirrors below *root*; *on_evicted* is told the name of each that went."""

    def __init__(
        self,
        root: Path,
        *,
        budget_bytes: int,
        on_evicted: Callable[[str], Awaitable[None]],
        idle_seconds: float = 600,
    ) -> None:
        """One used less than *idle_seconds* ago stays."""
        self._root = root
        self._budget_bytes = budget_bytes
        self._on_evicted = on_evicted
        self._idle_seconds = idle_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Make room every five minutes, until *stop*."""
        while not stop.is_set():
            try:
                await self.evict()
            except OSError as error:
                log.warning("mirrors.eviction_failed", error=str(error))
            try:
                async with asyncio.timeout(_PERIOD_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue

    async def evict(self) -> int:
        """
        One round; how many went.

        Raises:
            OSError: the disk refuses.
        """
        await asyncio.to_thread(_remove_evicted, self._root)
        mirrors = await asyncio.to_thread(_measure, self._root)
        excess = sum(mirror.size_bytes for mirror in mirrors) - self._budget_bytes
        evicted = 0
        for mirror in sorted(mirrors, key=lambda mirror: mirror.used_at):
            if excess <= 0:
                break
            if await self._evict(mirror):
                excess -= mirror.size_bytes
                evicted += 1
        if excess > 0:
            log.warning("mirrors.over_budget", excess_bytes=excess)
        return evicted

    async def _evict(self, mirror: _Mirror) -> bool:
        path = mirror.path
        try:
            async with file_lock(lock_file(path), timeout_seconds=_LOCK_SECONDS):
                gone = await asyncio.to_thread(self._rename_away, path)
        except TimeoutError:
            return False
        if gone is None:
            return False
        await self._on_evicted(path.stem)
        await asyncio.to_thread(shutil.rmtree, gone, ignore_errors=True)
        log.info("mirrors.evicted", repository=path.stem, freed_bytes=mirror.size_bytes)
        return True

    def _rename_away(self, path: Path) -> Path | None:
        idle_since = time.time() - self._idle_seconds
        if is_held(path) or last_use(path) > idle_since:
            return None
        gone = path.with_name(f"{path.stem}{_GONE}{secrets.token_hex(4)}")
        try:
            os.rename(path, gone)
        except FileNotFoundError:
            return None
        return gone


def _measure(root: Path) -> list[_Mirror]:
    return [
        _Mirror(path, _disk_bytes(path), last_use(path))
        for path in root.glob("*.git")
        if path.is_dir() and not path.is_symlink()
    ]


def _disk_bytes(mirror: Path) -> int:
    total = 0
    for folder, _, names in os.walk(mirror):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:  # a fetch tidies up
                continue
    return total


def _remove_evicted(root: Path) -> None:
    """What a process that was killed in the middle has left."""
    for gone in root.glob(f"*{_GONE}*"):
        shutil.rmtree(gone, ignore_errors=True)
