"""
A tree of files made, moved and read through a git directory and an index of ours.

The `.git` inside the tree belongs to the agent and is never read. `git add` looks into repositories
that lie embedded in the tree, so their `.git` is set aside while it works: nothing of it runs, and
their files are recorded like all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from internal.git.cli import Git, Limits, Place
from internal.git.failure import GitFailed
from internal.git.skeleton import borrow_objects, make_checkout_dir, point

_PACK_LIMITS = Limits(timeout_seconds=600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The tree object of a directory; see `model.Snapshot` for the other two."""

    tree: str
    embedded: tuple[str, ...]
    complete: bool


class Checkout:
    """Fills, moves and reads trees with the objects of one git directory of ours."""

    def __init__(self, git: Git, git_dir: Path) -> None:
        self._git = git
        self._git_dir = git_dir

    async def reset(self, tree: Path, index: Path, commit: str) -> None:
        """
        Make *tree* exactly *commit*, writing only what differs from *index* (which may not exist
        yet).

        Untracked files stay. Parallel where there is much to write.

        Raises:
            GitFailed: the commit is not here.
            DiskFull: no room; the tree is then in an unknown state.
        """
        place = Place(git_dir=self._git_dir, work_tree=tree, index=index)
        await self._git.run("read-tree", "--reset", "-u", commit, place=place)

    async def attach(
        self, tree: Path, index: Path, *, url: str, commit: str, branch: str | None, borrow: bool
    ) -> None:
        """
        Give *tree*, which is at *commit*, a `.git` of its own; repeat it to move that to another
        commit.

        With *borrow* it uses our objects (and so has the whole history); without, it gets a copy of
        those of this one commit, because what an agent can write must not be shared. The agent must
        not have run yet.
        """
        git_dir = tree / ".git"
        if not git_dir.exists():
            await asyncio.to_thread(make_checkout_dir, git_dir, url=url)
            if borrow:
                await asyncio.to_thread(borrow_objects, git_dir, self._git_dir)
        if not borrow:
            await self._copy_objects(git_dir, commit)
        await asyncio.to_thread(
            point, git_dir, commit=commit, branch=branch, index=index, shallow=not borrow
        )

    async def record(self, tree: Path, index: Path) -> Recorded:
        """
        Write the files of *tree* as a tree object: tracked ones, and others that are not ignored.

        *index* is the trusted index of this tree; its times make unchanged files cheap. Embedded
        repositories are recorded as files; submodules stay as *index* has them.

        Raises:
            GitFailed: *tree* is no directory, or git failed.
            DiskFull: no room for the objects.
        """
        place = Place(git_dir=self._git_dir, work_tree=tree, index=index)
        if not stat.S_ISDIR(os.lstat(tree).st_mode):
            raise GitFailed("the tree is no directory any more")
        shelf = tree.with_name(f"{tree.name}.embedded")
        embedded = await asyncio.to_thread(_set_aside, tree, shelf)
        try:
            complete = await self._add_all(place)
        finally:
            await asyncio.to_thread(_put_back, tree, shelf, embedded)
        written = await self._git.run("write-tree", place=place)
        return Recorded(
            tree=written.stdout.decode().strip(), embedded=tuple(embedded), complete=complete
        )

    async def _add_all(self, place: Place) -> bool:
        """Stage everything; False when git could not take some file."""
        command = ("add", "--all", "--ignore-errors", ".")
        if (await self._git.run(*command, place=place, accept=(0, 1))).exit_code == 0:
            return True
        assert place.work_tree is not None  # noqa: S101 - for the type checker
        await asyncio.to_thread(_make_readable, place.work_tree)
        return (await self._git.run(*command, place=place, accept=(0, 1))).exit_code == 0

    async def _copy_objects(self, git_dir: Path, commit: str) -> None:
        wanted = f"--shallow {commit}\n{commit}\n"
        shallow = git_dir / "shallow"
        had = shallow.read_text().strip() if shallow.exists() else None
        if had == commit:
            return
        if had is not None:
            wanted += f"--not\n{had}^{{tree}}\n"
        await self._git.run(
            *("pack-objects", "--revs", "--quiet", "--window=0", "--threads=2"),
            str(git_dir / "objects" / "pack" / "pack"),
            place=Place(git_dir=self._git_dir),
            stdin=wanted.encode(),
            limits=_PACK_LIMITS,
        )


def _set_aside(tree: Path, shelf: Path) -> list[str]:
    """Move each embedded `.git` onto *shelf*; their parents, relative to *tree*, in shelf order."""
    shutil.rmtree(shelf, ignore_errors=True)
    embedded: list[str] = []
    for folder, entry in _walk(tree):
        name = os.fsdecode(entry.name)
        if name == ".git" and folder != tree:
            shelf.mkdir(exist_ok=True)
            os.rename(entry.path, shelf / str(len(embedded)))
            embedded.append(os.path.relpath(folder, tree))
        elif name.startswith(".git") and _is_special(entry):
            os.unlink(entry.path)  # git would open it and wait for ever
    return embedded


def _put_back(tree: Path, shelf: Path, embedded: list[str]) -> None:
    for number, folder in enumerate(embedded):
        with contextlib.suppress(OSError):  # a half-deleted embedded repository is nobody's loss
            os.rename(shelf / str(number), tree / folder / ".git")
    shutil.rmtree(shelf, ignore_errors=True)


def _make_readable(tree: Path) -> None:
    for _, entry in _walk(tree):
        if entry.is_file(follow_symlinks=False):
            with contextlib.suppress(OSError):
                mode = entry.stat(follow_symlinks=False).st_mode
                if not mode & stat.S_IRUSR:
                    os.chmod(entry.path, mode | stat.S_IRUSR)


def _walk(tree: Path) -> Iterator[tuple[Path, os.DirEntry[str]]]:
    """
    Every entry below *tree* with its folder; links are never followed, the agent's own `.git` left
    out.
    """
    folders = [tree]
    while folders:
        folder = folders.pop()
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            os.chmod(
                folder, 0o700
            )  # an agent may lock its own directories; they are ours to record
        for entry in list(os.scandir(folder)):
            if folder == tree and entry.name == ".git":
                continue
            yield folder, entry
            if entry.name != ".git" and entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))


def _is_special(entry: os.DirEntry[str]) -> bool:
    return not (
        entry.is_file(follow_symlinks=False)
        or entry.is_dir(follow_symlinks=False)
        or entry.is_symlink()
    )
