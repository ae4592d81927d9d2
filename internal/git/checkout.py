"""
A tree of files made, moved and read through a git directory and an index of ours.

The `.git` inside the tree belongs to the agent and is never read.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from internal.errors import disk_errors
from internal.git.cli import Git, Limits, Place
from internal.git.embedded import is_plain_directory, make_readable, put_back, set_aside
from internal.git.failure import GitFailed
from internal.git.skeleton import borrow_objects, make_checkout_dir, point

_LONG = Limits(timeout_seconds=300)  # before the agent runs, when every wait can be cancelled


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
        await self._git.run("read-tree", "--reset", "-u", commit, place=place, limits=_LONG)

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
        if not await asyncio.to_thread(is_plain_directory, tree):
            raise GitFailed("the tree of the workspace is gone")
        # A git that was killed leaves it; nobody else uses this index.
        await asyncio.to_thread(index.with_name(f"{index.name}.lock").unlink, missing_ok=True)
        shelf = tree.with_name(f"embedded-{secrets.token_hex(8)}")
        with _readable_tree():
            embedded = await asyncio.to_thread(set_aside, tree, shelf)
        try:
            complete = await self._add_all(place)
        finally:
            await asyncio.to_thread(put_back, tree, shelf, embedded)
        written = await self._git.run("write-tree", place=place, durable=True)
        return Recorded(
            tree=written.stdout.decode().strip(), embedded=tuple(embedded), complete=complete
        )

    async def _add_all(self, place: Place) -> bool:
        """Stage everything; False when git could not take some file."""
        if await self._add(place):
            return True
        assert place.work_tree is not None  # noqa: S101 - for the type checker
        await asyncio.to_thread(make_readable, place.work_tree)
        return await self._add(place)

    async def _add(self, place: Place) -> bool:
        added = await self._git.run(
            *("add", "--all", "--ignore-errors", "."),
            place=place,
            accept=(0, 1),
            durable=True,
        )
        return added.exit_code == 0

    async def _copy_objects(self, git_dir: Path, commit: str) -> None:
        wanted = f"--shallow {commit}\n{commit}\n"
        shallow = git_dir / "shallow"
        had = shallow.read_text().strip() if shallow.exists() else None
        if had == commit:
            return
        if had is not None:
            wanted += f"--not\n{had}^{{tree}}\n"
        # Git makes the pack among its own objects and renames it: only there is it sure to be on
        # the file system of the tree.
        objects = git_dir / "objects"
        await self._git.run(
            *("pack-objects", "--revs", "--quiet", "--window=0", "--threads=2"),
            str(objects / "pack" / "pack"),
            place=Place(git_dir=self._git_dir, objects=objects),
            stdin=wanted.encode(),
            limits=_LONG,
        )


@contextmanager
def _readable_tree() -> Generator[None]:
    try:
        with disk_errors():
            yield
    except OSError as error:
        raise GitFailed(f"the tree of the workspace cannot be read: {error.strerror}") from error
