"""
What CodeForge asks of a site that hosts repositories, and how such a site fails.

A `Provider` speaks for one repository with one token. It never pushes: the branch is there before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from internal.errors import CodeforgeError, Invalid
from internal.git.model import PullRequest, PullRequestWanted


class UnsupportedHost(Invalid):
    """Nobody told us which API the repository's host speaks; see `git.provider_domains`."""

    code = "unsupported_host"


class ProviderError(CodeforgeError):
    """
    The host refused, failed, or could not be reached.

    `retryable` says that the same call may succeed later by itself, `retry_after_seconds` when,
    if the host said so. `status` is the answer's, None without one. The message holds the host's
    own words, cut, and never the token.
    """

    code = "provider_error"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCheck:
    """What a host says of a token. A valid one may still lack a right on some repository."""

    ok: bool
    reason: str | None = None
    """Why it is refused, or what could not be found out about one that is not."""
    login: str | None = None
    scopes: tuple[str, ...] = ()
    """Empty also when the host does not tell."""


class Provider(Protocol):
    """
    The pull requests of one repository.

    Every method may raise ProviderError, and PolicyDenied when the host is in a private network
    that `egress.allow` does not name. One request takes 15 s at most, `open_pull_request` 80 s.
    """

    async def open_pull_request(self, request: PullRequestWanted) -> PullRequest:
        """
        Let the branch `request.head` have exactly one open pull request, and that one up to date.

        An open one of this branch is found and updated, whoever opened it and whatever its target
        was; else one is opened. May be repeated after an end at any place. What the host refuses
        of labels, reviewers and draft is a warning in the result, as the pull request exists.

        Raises:
            Invalid: the host does not know a branch, or there is nothing between the two.
        """
        ...

    async def find(self, head: str) -> PullRequest | None:
        """The open pull request of the branch *head* of this repository, not of a fork."""
        ...

    async def read(self, number: int) -> PullRequest:
        """The pull request *number* as it is now. Raises NotFound when there is none."""
        ...

    async def default_branch(self) -> str:
        """The name of the branch that the host shows first."""
        ...
