"""A repository as large as real ones, generated: blobs that do not compress, and a history."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from random import Random

from tests.support.repos import git

_FILE_BYTES = 34 * 1024
_CHANGED_FILES = 16
"""Rewritten by each commit after the first: 300 commits of 2,600 files make some 250 MB."""
_FILES_PER_FOLDER = 40


def make_repository(path: Path, *, files: int, commits: int) -> str:
    """
    A bare repository with *files* files of 34 KiB on `main`; its URL. The same one every time.

    Each commit after the first rewrites 16 files.
    """
    git("init", "--quiet", "--bare", "--initial-branch=main", str(path), cwd=path.parent)
    random = Random(1)  # noqa: S311 -- to be the same, not to be secret
    # What does not compress has no deltas either; looking for them would only take time.
    argv = ["git", "-C", str(path), "fast-import", "--quiet", "--depth=0"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as importing:  # noqa: S603 -- our own words
        if importing.stdin is None:
            raise TypeError("started without a pipe")
        for number in range(commits):
            some = random.sample(range(files), min(files, _CHANGED_FILES))
            importing.stdin.write(_head(number))
            for file in some if number else range(files):
                name = f"folder{file // _FILES_PER_FOLDER:03}/file{file:05}.bin"
                importing.stdin.write(f"M 100644 inline {name}\ndata {_FILE_BYTES}\n".encode())
                importing.stdin.write(random.randbytes(_FILE_BYTES) + b"\n")
    if importing.returncode:
        raise RuntimeError(f"git fast-import ended with status {importing.returncode}")
    return f"file://{path}"


def clone_shallow(url: str, into: Path) -> None:
    """What most services do for each task."""
    git("clone", "--quiet", "--depth", "1", url, str(into), cwd=into.parent)


def packed_bytes(path: Path) -> int:
    """How large the packs of a bare repository are."""
    return sum(entry.stat().st_size for entry in os.scandir(path / "objects" / "pack"))


def _head(number: int) -> bytes:
    message = f"Commit {number}"
    who = f"A Person <person@example.com> {1_700_000_000 + number} +0000"
    return f"commit refs/heads/main\ncommitter {who}\ndata {len(message)}\n{message}\n".encode()
