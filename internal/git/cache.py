"""
Bare mirrors of repositories, one each, shared by all tasks of this home.

Fetching what is new costs a fraction of a clone. A mirror never grants access: before its objects
are used, the remote itself is asked, with the caller's own credential, what the wanted name stands
for. Each mirror is written under a lock between processes and comes into being by a rename, so a
process killed at any point leaves a whole mirror or none. Nothing is ever pruned from one; whole
ones go by `git.evict`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from internal.errors import Unavailable, disk_errors
from internal.git.checkout import Checkout
from internal.git.cli import Access, Git, Limits, Place
from internal.git.credentials import SshFiles, access_to, install_askpass
from internal.git.failure import CloneFailed, GitFailed, RepoNotFound
from internal.git.lock import file_lock
from internal.git.mirror_files import (
    KEEP,
    kept_files,
    kept_reference,
    lock_file,
    lock_of,
    read_branch,
    remove_leftovers,
    touch,
    write_branch,
)
from internal.git.remote import Remote, Scheme
from internal.git.skeleton import make_bare
from internal.git.target import Found, names_to_ask, read_answer

Vet = Callable[[str, int], Awaitable[str]]
"""Host and port to the one IP address to speak to; raises PolicyDenied, or Unavailable."""

_ASK_LIMITS = Limits(timeout_seconds=60, max_output_bytes=1 << 20)
_EVERYTHING = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """
    A mirror that has `commit`, which is what was asked for; `branch` None means it is no branch.
    """

    path: Path
    url: str
    commit: str
    branch: str | None
    checkout: Checkout

    @property
    def objects(self) -> Path:
        """All a checkout needs that borrows from it; the rest of it is ours alone."""
        return self.path / "objects"

    @property
    def key(self) -> str:
        """The repository's name on our disk."""
        return self.path.stem


class MirrorCache:
    """The mirrors below one directory."""

    def __init__(
        self,
        root: Path,
        git: Git,
        *,
        vet: Vet,
        ssh: SshFiles,
        fetch_seconds: float = 900,
        lock_seconds: float = 900,
    ) -> None:
        """
        *vet* is asked before every connection. *fetch_seconds* bounds one fetch, *lock_seconds* the
        wait for another task's fetch of the same repository.
        """
        self._root = root
        self._git = git
        self._vet = vet
        self._ssh = ssh
        self._fetch_limits = Limits(timeout_seconds=fetch_seconds)
        self._lock_seconds = lock_seconds
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._askpass = install_askpass(root)

    async def ensure(self, remote: Remote, *, token: str | None, target: str | None) -> Mirror:
        """
        A mirror with what *target* stands for at the remote now: a branch, else a tag, else a
        commit id (7 to 40 hex digits); None is the remote's HEAD. The remote is asked, every time.

        Raises:
            RepoNotFound: no such repository, or nothing in it has this name.
            AuthFailed: the remote wants a credential, or another one.
            CloneFailed: it could not be fetched; `retryable` says whether that may pass.
            PolicyDenied: its address is not allowed.
            DiskFull: no room for the mirror.
        """
        access = await self.access(remote, token=token)
        found = await self._ask(access, target)
        commit = await self._find_commit(remote, found, target)
        if commit is None:
            async with self._locked(self._path(remote)):
                # Another task may have fetched it while this one waited.
                commit = await self._find_commit(remote, found, target)
                if commit is None:
                    await self._fetch(remote, access)
                    commit = await self._find_commit(remote, found, target)
                if commit is None:
                    # A branch can have moved since, and then the fetch brought where it is now.
                    found = await self._ask(access, target)
                    commit = await self._find_commit(remote, found, target)
                if commit is None and target is not None and len(target) == 40:
                    commit = await self._fetch_commit(remote, access, target)
        if commit is None:
            raise RepoNotFound(f"the repository has no commit {target or 'at all'}")
        return self._mirror(remote, commit, found.branch)

    async def find_held(self, remote: Remote, name: str) -> Mirror | None:
        """
        The mirror with the commit (and branch) held as *name*, None when nothing is.

        Without asking the remote: who holds a commit had access to it.
        """
        path = self._path(remote)
        commit = await self._commit_of(path, f"{KEEP}/{name}")
        if commit is None:
            return None
        return self._mirror(remote, commit, await asyncio.to_thread(read_branch, path, name))

    async def hold(self, mirror: Mirror, name: str) -> None:
        """
        Keep the mirror's commit for *name* (a task), whatever happens to its branch.

        Without the lock of the mirror, so nobody waits for another task's fetch here.

        Raises:
            CloneFailed: the mirror is gone; asking the remote again makes another.
        """
        path = kept_reference(mirror.path, name)
        with disk_errors():
            await asyncio.to_thread(lock_of(path).unlink, missing_ok=True)
            try:
                await self._git.run(
                    "update-ref", f"{KEEP}/{name}", mirror.commit, place=Place(git_dir=mirror.path)
                )
            except GitFailed as error:
                if await asyncio.to_thread((mirror.path / "HEAD").is_file):
                    raise
                message = "the mirror was removed to make room"
                raise CloneFailed(message, retryable=True) from error
            if mirror.branch is not None:
                await asyncio.to_thread(write_branch, mirror.path, name, mirror.branch)

    async def release(self, path: Path, name: str) -> None:
        """Give up what is held as *name* in the mirror at *path*; nothing when there is none."""
        # Without git: these references are never packed, and a deletion would wait for a fetch.
        for left in kept_files(path, name):
            await asyncio.to_thread(left.unlink, missing_ok=True)

    async def has_branch(self, access: Access, name: str) -> bool:
        """Whether the remote has a branch *name* now. Raises as `ensure`, but RepoNotFound."""
        try:
            return (await self._ask(access, name)).branch == name
        except RepoNotFound:
            return False

    async def access(self, remote: Remote, *, token: str | None) -> Access:
        """
        What one command needs to reach *remote*, its address vetted and pinned.

        Raises:
            CloneFailed: its name has no address now.
            PolicyDenied: its address is not allowed.
        """
        address = None
        if remote.scheme is not Scheme.FILE:
            try:
                address = await self._vet(remote.host, remote.port)
            except Unavailable as error:
                raise CloneFailed(error.message, retryable=True) from error
        return access_to(remote, token=token, askpass=self._askpass, ssh=self._ssh, address=address)

    async def _ask(self, access: Access, target: str | None) -> Found:
        said = await self._git.run(
            *("ls-remote", "--symref", "--", access.url, *names_to_ask(target)),
            access=access,
            limits=_ASK_LIMITS,
        )
        return read_answer(said.stdout.decode(errors="replace"), target)

    async def _find_commit(self, remote: Remote, found: Found, target: str | None) -> str | None:
        if found.commit is not None:
            return await self._commit_of(self._path(remote), found.commit)
        commit = await self._commit_of(self._path(remote), target) if target else None
        # An old branch of the mirror may be called like the beginning of an id.
        return commit if target and commit and commit.startswith(target) else None

    async def _commit_of(self, path: Path, revision: str) -> str | None:
        if not await asyncio.to_thread((path / "HEAD").is_file):
            return None
        said = await self._git.run(
            *("rev-parse", "--quiet", "--verify", "--end-of-options", f"{revision}^{{commit}}"),
            place=Place(git_dir=path),
            accept=(0, 1, 128),
        )
        return said.stdout.decode().strip() or None if said.exit_code == 0 else None

    async def _fetch(self, remote: Remote, access: Access) -> None:
        path = self._path(remote)
        await asyncio.to_thread(remove_leftovers, path)
        if await asyncio.to_thread((path / "HEAD").is_file):
            await self._fetch_into(path, access, _EVERYTHING)
            return
        making = path.with_name(f"{path.stem}.making-{secrets.token_hex(4)}")
        await asyncio.to_thread(make_bare, making)
        try:
            await self._fetch_into(making, access, _EVERYTHING)
            # Thousands of loose references would make every later command slow.
            await self._git.run("pack-refs", "--all", place=Place(git_dir=making))
            await asyncio.to_thread(os.rename, making, path)
        finally:
            await asyncio.to_thread(shutil.rmtree, making, ignore_errors=True)

    async def _fetch_commit(self, remote: Remote, access: Access, commit: str) -> str | None:
        """Ask for a commit that no branch or tag reaches; many servers give it by its full id."""
        try:
            await self._fetch_into(self._path(remote), access, (commit,))
        except RepoNotFound:
            return None
        return await self._commit_of(self._path(remote), commit)

    async def _fetch_into(self, path: Path, access: Access, what: tuple[str, ...]) -> None:
        # Prune, because a deleted branch `a` would be in the way of a new branch `a/b`.
        await self._git.run(
            *("fetch", "--quiet", "--force", "--prune", "--no-tags", "--no-write-fetch-head"),
            *("--no-recurse-submodules", "--", access.url, *what),
            place=Place(git_dir=path),
            access=access,
            limits=self._fetch_limits,
            durable=True,
        )

    def _mirror(self, remote: Remote, commit: str, branch: str | None) -> Mirror:
        path = self._path(remote)
        touch(path)
        return Mirror(
            path=path,
            url=remote.url,
            commit=commit,
            branch=branch,
            checkout=Checkout(self._git, path),
        )

    def _path(self, remote: Remote) -> Path:
        return self._root / f"{remote.key}.git"

    @asynccontextmanager
    async def _locked(self, path: Path) -> AsyncGenerator[None]:
        held = False
        try:
            with disk_errors():
                async with file_lock(lock_file(path), timeout_seconds=self._lock_seconds):
                    held = True
                    yield
        except TimeoutError:
            if held:
                raise
            message = "another task is still fetching this repository"
            raise CloneFailed(message, retryable=True) from None
