"""
One commit to one branch of the remote, which nobody else's work is lost by.

The branch is ours alone (its name derives from the task), but anybody may push to it. So the remote
is asked where it stands, and it is moved only from a commit that we put there ourselves, under a
lease: had it moved in between, the remote refuses. The same commit there already is success, so a
push may be repeated after a kill at any point.
"""

from __future__ import annotations

from collections.abc import Collection

from internal.errors import CodeforgeError, Conflict
from internal.git.cli import Access, Git, Limits, Place
from internal.git.failure import GitFailed
from internal.process.command import CommandResult

_ASK_LIMITS = Limits(timeout_seconds=60, max_output_bytes=1 << 20)
_PUSH_LIMITS = Limits(timeout_seconds=600, max_output_bytes=1 << 20)
_MESSAGE_CHARS = 500


class PushRejected(Conflict):
    """Somebody else pushed to the branch; nothing of it was overwritten."""

    code = "push_rejected"


class PushFailed(CodeforgeError):  # noqa: N818 - named as all of `internal.errors`
    """The remote refused the push, or could not be reached. The message holds its own words."""

    code = "push_failed"


async def push_branch(
    git: Git, place: Place, access: Access, *, commit: str, branch: str, ours: Collection[str]
) -> None:
    """
    Let *branch* of the remote be at *commit*, of the git directory *place*.

    *ours* are the commits from which it may be moved; a branch that is not there is made.

    Raises:
        PushRejected: the branch is at a commit of somebody else.
        PushFailed: anything else that git or the remote says.
    """
    try:
        there = await _commit_at(git, access, branch)
        if there == commit:
            return
        if there is not None and there not in ours:
            raise _somebody_else(branch)
        pushed = await _push(git, place, access, f"{commit}:refs/heads/{branch}", there or "")
        if pushed.exit_code == 0 or await _commit_at(git, access, branch) == commit:
            return
    except GitFailed as error:  # it speaks of fetching
        raise PushFailed(error.message) from error
    said = pushed.stdout.decode(errors="replace")
    if "(stale info)" in said or "(fetch first)" in said:
        raise _somebody_else(branch)
    raise PushFailed(f"the remote refused the push: {_reason(said, access.secret)}")


async def _push(
    git: Git, place: Place, access: Access, refspec: str, expected: str
) -> CommandResult:
    """*expected* is the commit that the branch must be at, "" when it must not be there."""
    branch = refspec.partition(":")[2]
    return await git.run(
        *("push", "--porcelain", "--quiet", "--no-verify", "--no-follow-tags"),
        *("--recurse-submodules=no", f"--force-with-lease={branch}:{expected}"),
        *("--", access.url, refspec),
        place=place,
        access=access,
        limits=_PUSH_LIMITS,
        accept=(0, 1),
    )


async def _commit_at(git: Git, access: Access, branch: str) -> str | None:
    name = f"refs/heads/{branch}"
    said = await git.run(
        "ls-remote", "--refs", "--", access.url, name, access=access, limits=_ASK_LIMITS
    )
    for line in said.stdout.decode(errors="replace").splitlines():
        commit, _, found = line.partition("\t")
        if found == name:  # a pattern also matches the ends of other names
            return commit
    return None


def _somebody_else(branch: str) -> PushRejected:
    return PushRejected(f"somebody else pushed to {branch}; nothing was overwritten")


def _reason(said: str, secret: str | None) -> str:
    """What `git push --porcelain` says of a reference, in its third field."""
    reasons = [line.split("\t")[2] for line in said.splitlines() if line.count("\t") >= 2]
    text = "; ".join(reasons) or said.strip() or "it gave no reason"
    return (text.replace(secret, "***") if secret else text)[:_MESSAGE_CHARS]
