"""
The recorded work of every task of this home: one trusted git directory each, `<tenant>/<task>.git`.

A task's directory borrows the objects of its repository's mirror, in which it holds its base
commit; erasing the task lets go of both.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from internal.errors import disk_errors
from internal.git.cache import Mirror, MirrorCache
from internal.git.cli import Git
from internal.git.skeleton import borrow_objects, make_bare
from internal.git.work import TrustedRepo, safe_name

_LEFT_SECONDS = 3600  # making or removing one takes a moment: whoever began is dead


class WorkStore:
    """Makes, finds and erases the trusted git directories below one root."""

    def __init__(self, root: Path, git: Git, mirrors: MirrorCache) -> None:
        self._root = root
        self._git = git
        self._mirrors = mirrors

    async def open(self, tenant: str, task: str, mirror: Mirror) -> TrustedRepo:
        """
        The task's directory, made if missing, borrowing from *mirror*, where its base commit is
        held.

        Raises:
            DiskFull, CloneFailed: the commit could not be held.
        """
        path = self._path(tenant, task)
        await self._mirrors.hold(mirror, safe_name(task))
        with disk_errors():
            await asyncio.to_thread(_make, path, mirror.path)
        return TrustedRepo(self._git, path)

    async def find(self, tenant: str, task: str) -> TrustedRepo | None:
        """The task's directory, or None when nothing of it was ever recorded here."""
        path = self._path(tenant, task)
        exists = await asyncio.to_thread(path.is_dir)
        return TrustedRepo(self._git, path) if exists else None

    async def list_claims(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """
        Of each task (tenant, task) on this disk, the claims that have a snapshot, an index, or the
        lock of one, which is all that a git leaves that is killed in its first command.
        """
        return await asyncio.to_thread(_list_claims, self._root)

    async def drop(self, tenant: str, task: str, claim: str) -> None:
        """Forget one claim's snapshot; nothing when the task or the claim is not here."""
        repo = await self.find(tenant, task)
        if repo is not None:
            await repo.drop(claim)

    async def erase(self, tenant: str, task: str) -> None:
        """Remove everything recorded of the task; nothing when there is none."""
        path = self._path(tenant, task)
        mirror = await asyncio.to_thread(_borrowed_from, path)
        if mirror is not None:
            await self._mirrors.release(mirror, safe_name(task))
        await asyncio.to_thread(_remove, path)

    def _path(self, tenant: str, task: str) -> Path:
        return self._root / safe_name(tenant) / f"{safe_name(task)}.git"


def _make(path: Path, mirror: Path) -> None:
    if path.is_dir():
        borrow_objects(path, mirror)
        return
    making = path.with_name(f"{path.name}.making-{secrets.token_hex(4)}")
    try:
        make_bare(making, borrow_from=mirror)
        (making / "indexes").mkdir()
        os.rename(making, path)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _remove(path: Path) -> None:
    # Renamed first: a half-removed directory must not look like a task's work.
    gone = path.with_name(f"{path.name}.making-{secrets.token_hex(4)}")
    try:
        os.rename(path, gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def _borrowed_from(path: Path) -> Path | None:
    try:
        return Path((path / "objects" / "info" / "alternates").read_text().strip()).parent
    except FileNotFoundError:
        return None


def _list_claims(root: Path) -> dict[tuple[str, str], frozenset[str]]:
    found: dict[tuple[str, str], frozenset[str]] = {}
    for making in root.glob("*/*.git.making-*"):
        if making.lstat().st_mtime < time.time() - _LEFT_SECONDS:
            shutil.rmtree(making, ignore_errors=True)
    for path in root.glob("*/*.git"):
        names = {name for folder in ("indexes", "refs/claims") for name in _names(path / folder)}
        found[path.parent.name, path.stem] = frozenset(names)
    return found


def _names(folder: Path) -> list[str]:
    try:
        return [name.removesuffix(".lock") for name in os.listdir(folder)]
    except FileNotFoundError:
        return []
