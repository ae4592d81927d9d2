"""
What a workspace needs of git, as this package sees it.

Workspaces and git are capabilities that do not know each other. `git.checkout.Checkout`,
`git.cache.Mirror` and `git.work.TrustedRepo` have these members; the worker brings them together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Trees(Protocol):
    """
    Fills directories with files of commits; `index` is a file of ours that describes the tree.
    """

    async def reset(self, tree: Path, index: Path, commit: str) -> None:
        """Make *tree* exactly *commit*, writing only what differs from *index*."""
        ...

    async def attach(
        self, tree: Path, index: Path, *, url: str, commit: str, branch: str | None, borrow: bool
    ) -> None:
        """Give *tree*, which is at *commit*, a `.git` for the agent, or move the one it has."""
        ...


class Source(Protocol):
    """A repository of this home with the commit that was asked for."""

    @property
    def key(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def commit(self) -> str: ...
    @property
    def branch(self) -> str | None: ...
    @property
    def checkout(self) -> Trees: ...


class Records(Protocol):
    """The recorded work of one task."""

    @property
    def checkout(self) -> Trees: ...

    def index(self, claim: str) -> Path: ...

    async def equals(self, tree: Path, *, claim: str, commit: str) -> bool:
        """Whether *tree*, left by *claim*, still holds exactly the recorded *commit*."""
        ...
