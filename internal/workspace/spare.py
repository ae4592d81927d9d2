"""
Ready trees, made ahead: a new task gets one by a rename instead of waiting for a checkout.

Writing the files is what a start costs. So up to a few trees per repository in use are made by a
background step, at the newest commit seen; whoever takes one moves it to the commit it wants, which
writes only the difference. No agent ever runs in a spare tree. Each is made under another name and
renamed when it is whole; taking it is a rename too, so two workers never get the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from internal.errors import CodeforgeError, disk_errors
from internal.workspace.files import disk_bytes, remove
from internal.workspace.layout import Layout
from internal.workspace.trees import Source

_READY = "ready-"
_MAKING = "making-"
_SIZE = "bytes"
_POSITION = "position"
_USED = "used"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpareSettings:
    """How many ready trees per repository, and how many bytes all of them may take."""

    per_repository: int = 2
    budget_bytes: int = 20 << 30
    pause_seconds: float = 1.0
    """How long the run that took a tree has the disk for itself before the next one is made."""


@dataclass(frozen=True, slots=True)
class Position:
    """What a tree has checked out."""

    commit: str
    branch: str | None


class Spares:
    """The ready trees of one home; workers of the same home share them."""

    def __init__(self, layout: Layout, home: str, settings: SpareSettings, *, borrow: bool) -> None:
        """
        *home* is the id of our `data_dir`; *borrow*: the agents' `.git` may use mirrors' objects.
        """
        self._all = layout.spares / home
        # Not flushed to the disk, so a tree is only good until the machine starts again.
        self._root = self._all / f"{'borrowed' if borrow else 'copied'}-{_boot_id()}"
        self._settings = settings
        self._borrow = borrow
        self._newest: dict[str, Source] = {}
        self._wanted: set[str] = set()
        self._too_large: set[str] = set()
        self._wake = asyncio.Event()

    async def take(self, source: Source, tree: Path, index: Path) -> Position | None:
        """
        Move a ready tree of this repository to *tree* and its index to *index*; where it stands.

        None when there is none. No agent has used its `.git`. Asks for another tree to be made.
        """
        taken = await asyncio.to_thread(self._take, source.key, tree, index)
        if self._settings.per_repository > 0:
            # A branch's commit is what the next task will want; a follow-up's base is history.
            if source.branch is not None or source.key not in self._newest:
                self._newest[source.key] = source
            self._wanted.add(source.key)
            self._wake.set()
        return taken

    async def forget(self, key: str) -> None:
        """The mirror of this repository is gone: its ready trees may borrow from it, so they go."""
        self._newest.pop(key, None)
        self._wanted.discard(key)
        await asyncio.to_thread(_remove_all, _ready(self._root / key))

    async def run(self, stop: asyncio.Event) -> None:
        """
        Make trees where some were taken, until *stop* is set; a failure is logged, not repeated.
        """
        await asyncio.to_thread(self._remove_outdated)
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                waking = asyncio.create_task(self._wake.wait())
                await asyncio.wait({stopping, waking}, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
                await asyncio.wait({stopping}, timeout=self._settings.pause_seconds)
                self._wake.clear()
                while self._wanted and not stop.is_set():
                    await self._make_and_log(self._newest[self._wanted.pop()])
        finally:
            stopping.cancel()

    async def replenish(self, source: Source) -> int:
        """
        Make ready trees of this repository up to the setting, within the disk budget; how many.

        None are made while another process makes some of the same repository.

        Raises:
            DiskFull: no room; nothing of the unfinished tree is left.
        """
        folder = self._root / source.key
        made = 0
        with disk_errors():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _lock(folder) as locked:
                if not locked or source.key in self._too_large:
                    return 0
                await asyncio.to_thread(_remove_all, folder.glob(f"{_MAKING}*"))
                while len(_ready(folder)) < self._settings.per_repository:
                    await self._make(source, folder)
                    if not await asyncio.to_thread(self._keep_to_budget, folder):
                        self._too_large.add(source.key)
                        break
                    made += 1
        return made

    async def _make_and_log(self, source: Source) -> None:
        try:
            made = await self.replenish(source)
        except (CodeforgeError, OSError) as error:
            log.warning("workspace.spare_failed", repository=source.key, error=str(error))
        else:
            log.debug("workspace.spare_made", repository=source.key, made=made)

    async def _make(self, source: Source, folder: Path) -> None:
        name = secrets.token_hex(8)
        making = folder / f"{_MAKING}{name}"
        tree, index = making / "tree", making / "index"
        try:
            tree.mkdir(parents=True, mode=0o700)
            await source.checkout.reset(tree, index, source.commit)
            await source.checkout.attach(
                tree,
                index,
                url=source.url,
                commit=source.commit,
                branch=source.branch,
                borrow=self._borrow,
            )
            size = await asyncio.to_thread(disk_bytes, making)
            (making / _SIZE).write_text(str(size))
            (making / _POSITION).write_text(f"{source.commit} {source.branch or ''}")
            os.rename(making, folder / f"{_READY}{name}")
        finally:
            await asyncio.to_thread(remove, making)

    def _remove_outdated(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            _remove_all(path for path in self._all.iterdir() if path != self._root)

    def _take(self, key: str, tree: Path, index: Path) -> Position | None:
        folder = self._root / key
        if not folder.is_dir():
            return None
        (folder / _USED).touch()
        claimed = tree.with_name("spare")
        for ready in _ready(folder):
            try:
                os.rename(ready, claimed)
            except FileNotFoundError:  # another worker was faster
                continue
            os.rename(claimed / "tree", tree)
            # With its times: by them git knows which files may have changed since.
            shutil.copy2(claimed / "index", index)
            commit, _, branch = (claimed / _POSITION).read_text().partition(" ")
            remove(claimed)
            return Position(commit, branch or None)
        return None

    def _keep_to_budget(self, newest: Path) -> bool:
        """
        Remove trees of the repositories not used for longest; False if even *newest* does not fit.
        """
        folders = sorted(
            self._root.iterdir(), key=lambda folder: (folder == newest, _last_use(folder))
        )
        sizes = {ready: _size(ready) for folder in folders for ready in _ready(folder)}
        excess = sum(sizes.values()) - self._settings.budget_bytes
        for ready, size in sizes.items():
            if excess <= 0:
                return True
            remove(ready)
            excess -= size
        return not sizes or bool(_ready(newest))


def _boot_id() -> str:
    """Eight hex digits that change when the machine starts; always the same where none are told."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    return "00000000"


@contextmanager
def _lock(folder: Path) -> Generator[bool]:
    """True while no other process makes trees of this repository; its end frees the lock."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _ready(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_READY}*"))


def _last_use(folder: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return (folder / _USED).stat().st_mtime
    return 0.0


def _size(ready: Path) -> int:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int((ready / _SIZE).read_text())
    return 0


def _remove_all(paths: Iterable[Path]) -> None:
    for path in list(paths):
        remove(path)
