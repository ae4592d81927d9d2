"""
Moves a copied Claude Code session to the directory it shall be resumed in.

Claude Code keeps conversations in `~/.claude/projects/<directory>/<session>.jsonl`, the
directory's name derived from the path it works in. 2.1.197 looks only under the present path, so
a session that goes on in another directory must be renamed; 2.1.328 finds it anywhere and does
not mind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_LONGEST_NAME = 200
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def move_session(home: Path, workspace: Path, session_id: str) -> bool:
    """
    Make *session_id* in *home* belong to *workspace*; False when *home* does not hold it.

    The agent wrote this directory, so it is entered without following links, and only one name in
    it changes.
    """
    wanted = project_name(workspace)
    try:
        with _open_directory(home, ".claude", "projects") as projects:
            found = _find_project(projects, session_id, prefer=wanted)
            if found is None:
                return False
            if found != wanted:
                os.rename(found, wanted, src_dir_fd=projects, dst_dir_fd=projects)
    except OSError:  # no such directory, a link in its place, or a directory in the way
        return False
    return True


def project_name(workspace: Path) -> str:
    """The name Claude Code gives the directory of a project (observed in 2.1.197 and 2.1.328)."""
    path = os.path.realpath(workspace)
    name = re.sub(r"[^a-zA-Z0-9]", "-", path)
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}-{_hash(path)}"


def _hash(text: str) -> str:
    """Java's string hash, its absolute value to the base 36."""
    value = 0
    for unit in memoryview(text.encode("utf-16-le")).cast("H"):
        value = (value * 31 + unit) & 0xFFFFFFFF
    value = abs(value - (1 << 32) if value >> 31 else value)
    digits = ""
    while value or not digits:
        value, digit = divmod(value, 36)
        digits = _DIGITS[digit] + digits
    return digits


@contextmanager
def _open_directory(root: Path, *names: str) -> Generator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    with ExitStack() as opened:
        directory = os.open(root, flags)
        opened.callback(os.close, directory)
        for name in names:
            directory = os.open(name, flags, dir_fd=directory)
            opened.callback(os.close, directory)
        yield directory


def _find_project(projects: int, session_id: str, *, prefer: str) -> str | None:
    for name in sorted(os.listdir(projects), key=lambda name: name != prefer):
        try:
            os.stat(f"{name}/{session_id}.jsonl", dir_fd=projects, follow_symlinks=False)
        except OSError:
            continue
        return name
    return None
