"""
A directory that an agent has written, copied: its holes stay holes, and both ends are in sight.

A file can claim any size while it takes no room. So the extents with content are copied, block by
block; between two blocks the copy can be stopped, and it ends where it takes more than its budget.
Nothing recurses and nothing opens what a link points to. The agent must have ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK_BYTES = 4 << 20  # well below a second on a slow disk
_ENTRY_BYTES = 4096  # an empty file takes room too


class TooLarge(Exception):  # noqa: N818 - an answer, not a fault
    """It takes more than its budget."""


class Stopped(Exception):  # noqa: N818 - an answer, not a fault
    """Nobody waits for it any more."""


@dataclass(slots=True, kw_only=True)
class Budget:
    """How many bytes of disk may still be taken, and whether anybody waits for that."""

    left_bytes: int
    stop: threading.Event = field(default_factory=threading.Event)

    def take(self, size: int) -> None:
        """
        Count *size* bytes more.

        Raises:
            TooLarge: they are not left.
            Stopped: `stop` was set.
        """
        if self.stop.is_set():
            raise Stopped
        self.left_bytes -= size
        if self.left_bytes < 0:
            raise TooLarge


def copy(
    source: Path, destination: Path, *, budget: Budget, leave_out: frozenset[str] = frozenset()
) -> None:
    """
    Copy a directory to the new *destination*: files, links as links, modes and times.

    Left out are the top-level names in *leave_out*, sockets and pipes, what cannot be read, and
    what is nested too deep for a path. What was copied before an error stays.

    Raises:
        OSError: no room, or *destination* exists.
        TooLarge, Stopped: *budget* ended it.
    """
    os.mkdir(destination, 0o700)
    pending = [(source, destination)]
    while pending:
        folder, target = pending.pop()
        for entry in _entries(folder):
            if folder == source and entry.name in leave_out:
                continue
            budget.take(_ENTRY_BYTES)
            with _unreadable_left_out():
                if entry.is_dir(follow_symlinks=False):
                    os.mkdir(target / entry.name, 0o700)
                    os.scandir(entry.path).close()
                    pending.append((Path(entry.path), target / entry.name))
                elif entry.is_symlink():
                    shutil.copy2(entry.path, target / entry.name, follow_symlinks=False)
                elif entry.is_file(follow_symlinks=False):
                    _copy_file(entry.path, target / entry.name, budget)


def charge(folder: Path, *, budget: Budget) -> None:
    """
    Count what a copy of *folder* would take, without making one.

    Raises:
        OSError: *folder* itself cannot be read.
        TooLarge, Stopped: *budget* ended it.
    """
    pending = [folder]
    while pending:
        for entry in _entries(pending.pop()):
            budget.take(_ENTRY_BYTES)
            with _unreadable_left_out():
                if entry.is_dir(follow_symlinks=False):
                    os.scandir(entry.path).close()
                    pending.append(Path(entry.path))
                else:
                    budget.take(entry.stat(follow_symlinks=False).st_blocks * 512)


def _copy_file(source: str, destination: Path, budget: Budget) -> None:
    with _opened(source, os.O_RDONLY | os.O_NONBLOCK) as reading:
        status = os.fstat(reading)
        if not stat.S_ISREG(status.st_mode):
            return
        with _opened(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as writing:
            for start, end in _extents(reading, status.st_size):
                _copy_extent(reading, writing, start, end, budget)
            os.ftruncate(writing, status.st_size)
    shutil.copystat(source, destination, follow_symlinks=False)


def _copy_extent(reading: int, writing: int, start: int, end: int, budget: Budget) -> None:
    os.lseek(writing, start, os.SEEK_SET)
    while start < end:
        block = min(end - start, _BLOCK_BYTES)
        budget.take(block)
        sent = os.sendfile(writing, reading, start, block)
        if sent == 0:
            return
        start += sent
        budget.left_bytes += block - sent


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the file has content; file systems that do not know say: everywhere."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            raise
        end = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        yield start, end


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


@contextmanager
def _opened(path: str | Path, flags: int) -> Generator[int]:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _unreadable_left_out() -> Generator[None]:
    with contextlib.suppress(PermissionError, FileNotFoundError):
        try:
            yield
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
