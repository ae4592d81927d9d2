"""What git and its hosts tell about an agent's work: changes, pull requests. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FileStatus(StrEnum):
    """What happened to a file between two trees."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    """One file of a diff. `patch` is its text hunk, None when binary or left out by a limit."""

    path: str
    old_path: str | None = None
    status: FileStatus
    additions: int = 0
    deletions: int = 0
    binary: bool = False
    patch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Counts of a whole diff against the base commit; a rename counts as a modified file."""

    files_modified: int = 0
    files_created: int = 0
    files_deleted: int = 0
    insertions: int = 0
    deletions: int = 0

    @property
    def files(self) -> int:
        return self.files_modified + self.files_created + self.files_deleted

    @property
    def diff_stats(self) -> str:
        return f"+{self.insertions} -{self.deletions}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """
    The work from `base` to `head` (commit ids), file by file, and as a patch `git apply` takes.
    """

    base: str
    head: str
    files: tuple[FileDiff, ...]
    changes: Changes
    patch: bytes
    """
    `git diff --binary --full-index` output; empty when nothing changed, or when it is truncated.
    """
    truncated: bool = False
    """
    The patch is left out: it, or a file in it, was larger than its limit, or there were too many
    files, of which `files` then has the first. The counts are whole as far as git could count.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    A recorded tree of a run: its commit in the trusted git directory, and the claim it lies under.
    """

    commit: str
    claim: str
    embedded: tuple[str, ...] = ()
    """
    Directories in the tree that are repositories of their own; their files were recorded as files.
    """
    complete: bool = True
    """False when git could not take some file, for its name or for its permissions."""


class ProviderName(StrEnum):
    """The APIs for pull requests that we speak; Forgejo speaks Gitea's."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    BITBUCKET = "bitbucket"


class PullRequestState(StrEnum):
    """What became of a pull request; a declined or superseded one is closed."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestWanted:
    """
    The pull request that a branch shall have. `head` and `base` are names of branches.

    `title` and `description` are cut to what the host takes. `draft` is obeyed when the pull
    request is opened; an open one stays as it is. Labels and reviewers are added, none removed.
    """

    head: str
    base: str
    title: str
    description: str = ""
    draft: bool = False
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    """Names of users as the host knows them; GitHub and Gitea also take `organisation/team`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A pull request as its host tells it; GitLab calls it a merge request."""

    number: int
    url: str
    state: PullRequestState
    branch: str
    updated: bool = False
    """It had been open before, and was brought up to date."""
    warnings: tuple[str, ...] = ()
    """What the host refused beside it: labels, reviewers, the draft state. One sentence each."""
