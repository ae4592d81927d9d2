"""
What lies in a mirror beside git's own: its last use, what is held in it, and its lock.

Read and written without git, because a reference of ours is never packed and a command of git would
wait for a fetch.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

KEEP = "refs/keep"
"""Where commits are held that tasks build on, by the name of the task."""

_USED = "codeforge-used"
_BRANCHES = "codeforge-branches"


def lock_file(path: Path) -> Path:
    """What is locked by whoever writes to the mirror at *path*, or removes it."""
    return path.with_suffix(".lock")


def is_held(path: Path) -> bool:
    """Whether the mirror at *path* has a commit that a task's kept work builds on."""
    try:
        return any((path / KEEP).iterdir())
    except FileNotFoundError:
        return False


def last_use(path: Path) -> float:
    """When the mirror at *path* was asked for last, in seconds since the epoch."""
    for used in (path / _USED, path):
        with suppress(FileNotFoundError):
            return used.stat().st_mtime
    return 0.0


def touch(path: Path) -> None:
    """Note that the mirror at *path* is used now."""
    with suppress(FileNotFoundError):  # there is no mirror yet, or no more
        (path / _USED).touch()


def kept_reference(path: Path, name: str) -> Path:
    """The reference that holds a commit as *name*."""
    return path / KEEP / name


def kept_files(path: Path, name: str) -> Sequence[Path]:
    """Everything that there is of what is held as *name*, left-overs of git too."""
    reference = kept_reference(path, name)
    return (reference, lock_of(reference), path / _BRANCHES / name)


def lock_of(reference: Path) -> Path:
    """What git leaves beside a reference when it is killed while it writes it."""
    return reference.with_name(f"{reference.name}.lock")


def write_branch(path: Path, name: str, branch: str) -> None:
    """Note the branch that the held commit was asked for by."""
    (path / _BRANCHES).mkdir(exist_ok=True)
    (path / _BRANCHES / name).write_text(branch)


def read_branch(path: Path, name: str) -> str | None:
    """What `write_branch` noted; None for a commit or a tag."""
    try:
        return (path / _BRANCHES / name).read_text() or None
    except FileNotFoundError:
        return None


def remove_leftovers(path: Path) -> None:
    """What killed processes left. Only under the lock: git dies with the process that holds it."""
    for making in path.parent.glob(f"{path.stem}.making-*"):
        shutil.rmtree(making, ignore_errors=True)
    if path.is_dir():
        stale = ("*.lock", "refs/heads/**/*.lock", "refs/tags/**/*.lock", "objects/pack/tmp_*")
        for pattern in stale:
            for left in path.glob(pattern):
                left.unlink(missing_ok=True)
