"""
What a user's name for a commit stands for at the remote: the question, and its answer read. Pure.

A branch comes before a tag, a tag before a commit id. The remote's own list decides, never
references of a mirror, which may be old.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from internal.errors import Invalid
from internal.git.failure import RepoNotFound
from internal.git.remote import check_target

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_COMMIT_ID = re.compile(r"[0-9a-f]{7,40}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """
    What the remote says a target stands for.

    `commit` is None when the target can only be a commit id, which no remote lists.
    """

    commit: str | None
    branch: str | None


def names_to_ask(target: str | None) -> tuple[str, ...]:
    """
    The references that `git ls-remote --symref` is to list for *target*; None is the remote's HEAD.

    Raises:
        Invalid: *target* is no possible name.
    """
    if target is None:
        return ("HEAD",)
    check_target(target)
    return (f"refs/heads/{target}", f"refs/tags/{target}", f"refs/tags/{target}^{{}}")


def read_answer(said: str, target: str | None) -> Found:
    """
    Read what `ls-remote` said.

    Raises:
        RepoNotFound: nothing there has this name, or the repository is empty.
    """
    commits: dict[str, str] = {}
    head: str | None = None
    for line in said.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            head = value.removeprefix("ref: refs/heads/")
        elif _COMMIT.match(value):
            commits[name] = value
    if target is None:
        if "HEAD" not in commits:
            raise RepoNotFound("the repository is empty: its HEAD names no commit")
        return Found(commit=commits["HEAD"], branch=_usable(head))
    if commit := commits.get(f"refs/heads/{target}"):
        return Found(commit=commit, branch=target)
    # An annotated tag is listed twice; with ^{} it is the commit.
    for name in (f"refs/tags/{target}^{{}}", f"refs/tags/{target}"):
        if commit := commits.get(name):
            return Found(commit=commit, branch=None)
    if _COMMIT_ID.match(target):
        return Found(commit=None, branch=None)
    raise RepoNotFound(f"the repository has no branch or tag {target!r}")


def _usable(branch: str | None) -> str | None:
    """The remote's name for its branch, unless no path should be made of it."""
    try:
        return None if branch is None else check_target(branch)
    except Invalid:
        return None
