"""
The recorded work of one task: a git directory of ours, outside the workspace.

An agent can write everything in its workspace, so nothing there is believed: the tree is read with
our own index and git directory, with plumbing commands only, and compared with the immutable base
commit. Commits of the agent count because the tree has what they changed. A snapshot's commit id
depends on base, tree and claim alone, so work rebuilt on another home from its patch has the same
id, or is not the same work.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path

import structlog

from internal.git.changes import ChangeReader
from internal.git.checkout import Checkout
from internal.git.cli import Access, Git, Limits, Place
from internal.git.commit import CommitText, commit_object
from internal.git.diff import (
    DEFAULT_LIMITS,
    DiffLimits,
    Listing,
    changed_blobs,
    count_files,
    read_listing,
    readable,
    with_patches,
)
from internal.git.failure import GitFailed
from internal.git.model import Diff, Snapshot
from internal.git.push import push_branch
from internal.process.command import CommandResult

_WHO = "CodeForge <codeforge@localhost> 0 +0000"
_COMPARE = ("diff-tree", "-r", "--no-ext-diff", "--no-textconv", "--no-color")
_NAMES = Limits(max_output_bytes=64 << 20)
_EXACT = "-M100%"  # by ids; to find others git reads every candidate whole
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}\Z")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class TrustedRepo:
    """One task's git directory. `workstore.WorkStore` makes and finds them."""

    def __init__(self, git: Git, path: Path) -> None:
        self._git = git
        self._place = Place(git_dir=path)
        self.path = path
        self.checkout = Checkout(git, path)
        """Trees made and read with the objects of this task and of its mirror."""
        self.changes = ChangeReader(git, self._place)
        """What lies between two of its commits, for checks."""

    def index(self, claim: str) -> Path:
        """The trusted index of the tree of *claim*; no file until that tree is made."""
        return self.path / "indexes" / safe_name(claim)

    async def has(self, commit: str) -> bool:
        """Whether *commit* can be read here."""
        said = await self._git.run(
            "cat-file", "-e", f"{commit}^{{commit}}", place=self._place, accept=(0, 1, 128)
        )
        return said.exit_code == 0

    async def snapshot(self, tree: Path, *, base: str, claim: str) -> Snapshot:
        """
        Record what *tree* holds as a commit on *base*, under `refs/claims/<claim>`.

        Every file that is tracked, or is not ignored by the tree's own `.gitignore` files, counts.
        The agent must have ended. Repeatable: the same tree gives the same commit.

        Raises:
            GitFailed: the tree is gone, or git failed.
            DiskFull: no room for what is new.
        """
        recorded = await self.checkout.record(tree, self.index(claim))
        commit = await self._commit(recorded.tree, base, claim)
        return Snapshot(
            commit=commit,
            claim=claim,
            embedded=await asyncio.to_thread(_readable_paths, recorded.embedded),
            complete=recorded.complete,
        )

    async def apply_patch(self, patch: bytes, *, base: str, claim: str) -> Snapshot:
        """
        Rebuild a snapshot from its stored patch; its commit id is that of the home it was taken on.

        Raises:
            GitFailed: the patch does not belong to this base.
        """
        index = self.index(f"{claim}-{secrets.token_hex(4)}")
        place = Place(git_dir=self.path, index=index)
        try:
            await self._git.run("read-tree", base, place=place)
            if patch:
                await self._git.run(
                    *("apply", "--cached", "--whitespace=nowarn", "-"),
                    place=place,
                    stdin=patch,
                    durable=True,
                )
            written = await self._git.run("write-tree", place=place, durable=True)
        finally:
            index.unlink(missing_ok=True)
        commit = await self._commit(written.stdout.decode().strip(), base, claim)
        return Snapshot(commit=commit, claim=claim)

    async def equals(self, tree: Path, *, claim: str, commit: str) -> bool:
        """Whether *tree*, whose index is that of *claim*, holds exactly the recorded *commit*."""
        if not await asyncio.to_thread(_can_compare, tree, self.index(claim)):
            return False
        recorded = await self.checkout.record(tree, self.index(claim))
        said = await self._git.run("rev-parse", f"{commit}^{{tree}}", place=self._place)
        return recorded.complete and recorded.tree == said.stdout.decode().strip()

    async def diff(self, base: str, head: str, *, limits: DiffLimits = DEFAULT_LIMITS) -> Diff:
        """
        What changed from *base* to *head*, with renames found.

        Texts are left out file by file where *limits* end them. A change that is too large is
        `truncated`: without a patch, of too many files the first, counted as far as git can.

        Raises:
            GitFailed: one of the commits is not here.
        """
        raw = await self._compare("--raw", "-z", "--no-renames", base, head, limits=_NAMES)
        is_large = raw.truncated or count_files(raw.stdout) > limits.max_files
        if is_large or await self._has_large_blob(raw.stdout, limits.max_blob_bytes):
            listing, patch = await self._list(base, head, limits, _EXACT), None
        else:
            listing, patch = await asyncio.gather(
                self._list(base, head, limits, "-M"), self._patch(base, head, limits)
            )
        if listing is None:  # the names alone, then, which were cheap
            patch = None
            listing = await asyncio.to_thread(read_listing, raw.stdout, max_files=limits.max_files)
        files = listing.files
        if patch is not None:
            files = await asyncio.to_thread(with_patches, files, patch.stdout, limits)
        is_whole = patch is not None and not patch.truncated
        return Diff(
            base=base,
            head=head,
            files=files,
            changes=listing.changes,
            patch=patch.stdout if patch is not None and is_whole else b"",
            truncated=not is_whole,
        )

    async def make_commit(self, snapshot: str, *, base: str, text: CommitText) -> str:
        """
        The tree of *snapshot* as one commit on *base*, for others to see; the same for the same.

        Raises:
            GitFailed: the snapshot is not here, or *text* makes no commit.
            DiskFull: no room for it.
        """
        said = await self._git.run("rev-parse", f"{snapshot}^{{tree}}", place=self._place)
        tree = said.stdout.decode().strip()
        return await self._write_commit(commit_object(tree, base, text))

    async def push(
        self, access: Access, *, commit: str, branch: str, ours: Collection[str]
    ) -> None:
        """As `push.push_branch`, from here. Raises PushRejected, PushFailed."""
        await push_branch(self._git, self._place, access, commit=commit, branch=branch, ours=ours)

    async def drop(self, claim: str) -> None:
        """Forget the snapshot and the index of *claim*; nothing when there are none."""
        # Without git: references of ours are never packed, and a killed git's lock must not stay.
        for path in (self.path / _reference(claim), self.index(claim)):
            for left in (path, path.with_name(f"{path.name}.lock")):
                await asyncio.to_thread(left.unlink, missing_ok=True)

    async def _compare(self, *arguments: str, limits: Limits) -> CommandResult:
        return await self._git.run(*_COMPARE, *arguments, place=self._place, limits=limits)

    async def _has_large_blob(self, raw: bytes, max_blob_bytes: int) -> bool:
        blobs = await asyncio.to_thread(changed_blobs, raw)
        if not blobs:
            return False
        said = await self._git.run(
            *("cat-file", "--buffer", "--batch-check=%(objectsize)"),
            place=self._place,
            stdin=b"\n".join(blobs) + b"\n",
        )
        return await asyncio.to_thread(_is_any_above, said.stdout.split(), max_blob_bytes)

    async def _list(self, base: str, head: str, limits: DiffLimits, renames: str) -> Listing | None:
        """All files with their counts; None when that is too much for git."""
        try:
            said = await self._compare(
                *("--raw", "--numstat", "-z", renames, base, head), limits=_NAMES
            )
        except GitFailed as error:
            log.warning("git.lines_not_counted", error=error.message)
            return None
        if said.truncated:
            return None
        return await asyncio.to_thread(read_listing, said.stdout, max_files=limits.max_files)

    async def _patch(self, base: str, head: str, limits: DiffLimits) -> CommandResult | None:
        """The patch up to its limit; None when git could not make it."""
        try:
            return await self._compare(
                *("-p", "--binary", "--full-index", "-M", base, head),
                limits=Limits(max_output_bytes=limits.max_patch_bytes),
            )
        except GitFailed as error:
            log.warning("git.patch_not_made", error=error.message)
            return None

    async def _commit(self, tree: str, base: str, claim: str) -> str:
        head = f"tree {tree}\nparent {base}\nauthor {_WHO}\ncommitter {_WHO}\n"
        text = f"{head}\nWork of claim {claim}\n"
        commit = await self._write_commit(text.encode())
        await self._git.run(
            "update-ref", _reference(claim), commit, place=self._place, durable=True
        )
        return commit

    async def _write_commit(self, content: bytes) -> str:
        said = await self._git.run(
            *("hash-object", "-t", "commit", "-w", "--stdin"),
            place=self._place,
            stdin=content,
            durable=True,
        )
        return said.stdout.decode().strip()


def safe_name(name: str) -> str:
    """*name* if it can be a file name and a reference; ids of ours always can."""
    if not _SAFE_NAME.match(name):
        raise GitFailed(f"not an id: {name!r}")
    return name


def _readable_paths(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(readable(os.fsencode(path)) for path in paths)


def _is_any_above(sizes: Iterable[bytes], limit: int) -> bool:
    return any(int(size) > limit for size in sizes)


def _can_compare(tree: Path, index: Path) -> bool:
    return index.is_file() and tree.is_dir() and not tree.is_symlink()


def _reference(claim: str) -> str:
    return f"refs/claims/{safe_name(claim)}"
