"""
Repositories inside the tree of another, kept out of git's sight while it reads the tree.

`git add` opens every `.git` it meets below the top: it would run what is configured there, follow
it elsewhere, or wait for a pipe. So each is set aside on a shelf meanwhile, whatever it is, and the
files around it are recorded like all others. The agent must have ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path


def is_plain_directory(path: Path) -> bool:
    """Whether *path* is a directory itself, and no link to one."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_ISDIR(os.lstat(path).st_mode)
    return False


def set_aside(tree: Path, shelf: Path) -> list[str]:
    """
    Move each embedded `.git` to the new directory *shelf*; their parents, in the order on the
    shelf.

    Raises:
        OSError: the tree cannot be read to its end; what was moved by then stays on the shelf.
    """
    shelf.mkdir(mode=0o700)
    embedded: list[str] = []
    for folder, entry in _walk(tree):
        name = os.fsdecode(entry.name)
        if name == ".git" and folder != tree:
            if entry.is_dir(follow_symlinks=False):
                _unlock(entry.path)
            os.rename(entry.path, shelf / str(len(embedded)))
            embedded.append(os.path.relpath(folder, tree))
        elif name.startswith(".git") and _is_special(entry):
            os.unlink(entry.path)  # git would open it and wait for ever
    return embedded


def put_back(tree: Path, shelf: Path, embedded: list[str]) -> None:
    """Undo `set_aside`, and remove the shelf."""
    for number, folder in enumerate(embedded):
        with contextlib.suppress(OSError):  # a half-deleted embedded repository is nobody's loss
            os.rename(shelf / str(number), tree / folder / ".git")
    shutil.rmtree(shelf, ignore_errors=True)


def make_readable(tree: Path) -> None:
    """Give the owner, whom we run as, leave to read every file."""
    for _, entry in _walk(tree):
        if entry.is_file(follow_symlinks=False):
            with contextlib.suppress(OSError):
                mode = entry.stat(follow_symlinks=False).st_mode
                if not mode & stat.S_IRUSR:
                    os.chmod(entry.path, mode | stat.S_IRUSR)


def _walk(tree: Path) -> Iterator[tuple[Path, os.DirEntry[str]]]:
    """Every entry below *tree* with its folder, without following links; not the agent's `.git`."""
    folders = [tree]
    while folders:
        folder = folders.pop()
        for entry in _entries(folder):
            if folder == tree and entry.name == ".git":
                continue
            yield folder, entry
            if entry.name != ".git" and entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        _unlock(folder)
        return list(os.scandir(folder))
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # too deep for git as well
            return []
        raise


def _unlock(folder: str | Path) -> None:
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        os.chmod(folder, stat.S_IRWXU)  # an agent may lock its own directories


def _is_special(entry: os.DirEntry[str]) -> bool:
    return not (
        entry.is_file(follow_symlinks=False)
        or entry.is_dir(follow_symlinks=False)
        or entry.is_symlink()
    )
