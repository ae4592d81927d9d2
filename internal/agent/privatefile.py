"""
Files that a run needs and nobody else may read: there while it runs, gone when it has ended.

The agent's home may be a copy of one that an agent has written. So each file has a name that nobody
could know beforehand, and is made where nothing is, never through a link.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from internal.agent.model import PrivateFile
from internal.errors import disk_errors


def private_path(home: Path, purpose: str) -> Path:
    """A new path for a private file directly in *home*."""
    return home / f".codeforge-{purpose}-{secrets.token_hex(8)}.json"


@contextmanager
def private_files(files: Iterable[PrivateFile]) -> Generator[None]:
    """
    *files* on disk inside the block, mode 0600.

    Raises:
        DiskFull: no room for one; none is left.
        OSError: something is at its path already.
    """
    made: list[Path] = []
    try:
        with disk_errors():
            for file in files:
                _write(file, made)
        yield
    finally:
        for path in made:
            _remove(path)


def _write(file: PrivateFile, made: list[Path]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(file.path, flags, 0o600)
    made.append(file.path)
    with open(descriptor, "wb") as opened:
        opened.write(file.content)


def _remove(path: Path) -> None:
    """The agent has ended; it may have locked its home, or put something else at the path."""
    with suppress(FileNotFoundError, IsADirectoryError):
        try:
            path.unlink()
        except PermissionError:
            path.parent.chmod(0o700)
            path.unlink()
