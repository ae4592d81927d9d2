"""
The work a create-pr is about, found and looked through before anything of it leaves.

It is the newest recorded tree, here or rebuilt from its stored patch, and never the base commit in
its stead: a pull request without the work would be worse than none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from internal.errors import Conflict
from internal.git.cache import Mirror
from internal.git.changes import Change
from internal.git.diff import readable
from internal.git.model import Changes
from internal.git.remote import Remote
from internal.git.work import TrustedRepo
from internal.task.model import Task
from internal.task.refusal import check_workflows, refused
from internal.worker.recorded import RecordedWork, newest_work
from internal.worker.treechecks import (
    LONGEST_LINK,
    check_link,
    check_sizes,
    check_submodules,
    new_links,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A recorded tree and what it changes; `sizes` has both sides of every change."""

    remote: Remote
    repo: TrustedRepo
    mirror: Mirror
    commit: str
    recorded_at: datetime
    counts: Changes
    changes: tuple[Change, ...]
    sizes: Mapping[str, int]


async def find_proposal(
    recorded: RecordedWork,
    task: Task,
    remote: Remote,
    *,
    token: Callable[[], Awaitable[str | None]],
) -> Proposal:
    """
    The newest recorded work of *task*; *token* is asked for when the repository must be fetched
    first, because another home ran the task.

    Raises:
        Invalid: `no_changes`: nothing was recorded.
        Conflict: `work_lost`: it was, and is nowhere any more.
        CloneFailed, AuthFailed, RepoNotFound, DiskFull, GitFailed: as git says.
    """
    found = newest_work(await recorded.iterations(task))
    if found is None:
        raise refused("no_changes", "Nothing of the task was recorded.")
    row, work = found
    mirror = await recorded.find_mirror(task, remote)
    if mirror is None:
        mirror = await recorded.fetch_mirror(task, remote, token=await token())
    repo = await recorded.open(task, mirror)
    commit = await recorded.find_commit(task, repo, mirror, row, work)
    if commit is None:
        raise Conflict("The recorded work of the task is lost.", code="work_lost")
    changes = await repo.changes.list(mirror.commit, commit)
    contents = [change.new for change in changes if change.has_content]
    contents += [change.old for change in changes if change.had_content]
    return Proposal(
        remote=remote,
        repo=repo,
        mirror=mirror,
        commit=commit,
        recorded_at=row.ended_at or task.created_at,
        counts=row.changes or Changes(),
        changes=changes,
        sizes=await repo.changes.sizes(contents),
    )


async def check_proposal(proposal: Proposal, *, max_file_bytes: int, allow_workflows: bool) -> None:
    """Everything that can be told without a credential. Raises Invalid, its code the reason."""
    changes, sizes = proposal.changes, proposal.sizes
    if not changes:
        raise refused("no_changes", "The task has changed nothing.")
    if not allow_workflows:
        check_workflows(readable(change.path) for change in changes)
    check_submodules(changes)
    check_sizes(changes, sizes, max_bytes=max_file_bytes)
    links = new_links(changes)
    short = {link.new: sizes[link.new] for link in links if sizes[link.new] <= LONGEST_LINK}
    targets = {name: target async for name, target in proposal.repo.changes.read(short)}
    for link in links:
        check_link(link.path, targets.get(link.new, b""))
