"""
Files that an agent has written: removed and measured without following a link, however made.

An agent may lock its directories, nest them deeper than a path can be long, or leave links to our
own files. Nothing here recurses and nothing opens what a link points to. The agent must have ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_OWNER = stat.S_IRWXU
GRAVE_PREFIX = ".removing-"


def remove(path: Path) -> None:
    """
    Remove whatever is at *path*; nothing when nothing is there.

    A directory first moves beside itself (`.removing-*`), so it is gone under its name at once;
    each directory inside is moved up before it is emptied, so depth does not matter.

    Raises:
        OSError: something in it belongs to another user.
    """
    grave = path.with_name(f"{GRAVE_PREFIX}{secrets.token_hex(8)}")
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
        unlock(path)
        os.rename(path, grave)
    except FileNotFoundError:
        return
    empty_grave(grave)


def empty_grave(grave: Path) -> None:
    """
    Finish a removal, also one that a killed process began; two may do it at the same time.

    Raises:
        OSError: something in it belongs to another user.
    """
    number = 0
    while entries := _entries(grave):
        for entry in entries:
            with _may_be_gone():
                if _is_dir(entry):
                    number = _empty(Path(entry.path), grave, number)
                else:
                    os.unlink(entry.path)
    with _may_be_gone():
        os.rmdir(grave)


def unlock(folder: Path) -> None:
    """Give the owner, whom we run as, all rights to a directory of which an agent took some."""
    mode = os.lstat(folder).st_mode
    if mode & _OWNER != _OWNER:
        os.chmod(folder, _OWNER)


def disk_bytes(path: Path, *, until: float | None = None) -> int:
    """
    Bytes that all below *path* take on disk: allocated blocks, a file with several names once.

    What vanishes meanwhile, or cannot be read, counts nothing; what is found by *until*, a time of
    the monotonic clock, is all that counts.
    """
    total = 0
    counted: set[tuple[int, int]] = set()
    pending = [path]
    while pending and (until is None or time.monotonic() < until):
        folder = pending.pop()
        entries: list[os.DirEntry[str]] = []
        with contextlib.suppress(OSError):
            entries = _entries(folder)
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                    if (status.st_dev, status.st_ino) in counted:
                        continue
                    counted.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
                if stat.S_ISDIR(status.st_mode):
                    pending.append(Path(entry.path))
    return total


def _empty(folder: Path, grave: Path, number: int) -> int:
    """
    Remove *folder*, its directories moved into *grave* under numbers above *number*; the last.
    """
    unlock(folder)
    for entry in _entries(folder):
        with _may_be_gone():
            if _is_dir(entry):
                unlock(Path(entry.path))
                number = _move_up(Path(entry.path), grave, number)
            else:
                os.unlink(entry.path)
    os.rmdir(folder)
    return number


def _move_up(folder: Path, grave: Path, number: int) -> int:
    """Move *folder* directly into *grave* under the next free number; that number."""
    while True:
        number += 1
        try:
            os.rename(folder, grave / f"{number}")
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                raise
        else:
            return number


def _is_dir(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        return list(entries)
    return []


@contextmanager
def _may_be_gone() -> Generator[None]:
    """Somebody else who removes the same may be faster, or a step behind."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTEMPTY}:
            raise
