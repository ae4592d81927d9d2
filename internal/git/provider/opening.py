"""
The one way to open or update a pull request, the same on every host.

The branch is the natural key: an open pull request of it is looked for before one is opened, and
again when the host says that there is one or when its answer got lost. So a publisher that was
killed anywhere and starts anew finds what it did. Labels and reviewers come last and are repeated
by every run, because a kill may have come just before them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from internal.errors import CodeforgeError, Invalid
from internal.git.model import PullRequest, PullRequestWanted
from internal.git.provider.base import ProviderError

# Hosts lag behind themselves by up to some seconds: their lists behind what was just opened, and
# the check of a branch behind its push. The tool hub repeated for nine seconds for that reason.
PAUSES_SECONDS = (0.5, 1.5, 3.0)
_OPENING_SECONDS = 60.0
_EXTRAS_SECONDS = 20.0

Found = TypeVar("Found")


class AlreadyOpen(Exception):  # noqa: N818 - an answer, not a fault
    """The host says that the branch has an open pull request."""


class NoDrafts(Exception):  # noqa: N818 - an answer, not a fault
    """The host, or the plan of the repository, has no drafts."""


class Host(Protocol[Found]):
    """What a host can do; `Found` is a pull request in the host's own words."""

    async def find_open(self, head: str) -> Found | None:
        """The open pull request of the branch *head* of this repository; the oldest of several."""
        ...

    async def get(self, number: int) -> Found:
        """The pull request *number*. Raises NotFound and ProviderError."""
        ...

    async def default_branch(self) -> str:
        """The name of the branch that the host shows first. Raises ProviderError."""
        ...

    async def create(self, request: PullRequestWanted) -> Found:
        """Open one. Raises AlreadyOpen, NoDrafts, Invalid and ProviderError."""
        ...

    async def update(self, found: Found, request: PullRequestWanted) -> Found:
        """Set title, description and base; draft stays. Raises Invalid and ProviderError."""
        ...

    async def add_labels(self, found: Found, labels: Sequence[str]) -> list[str]:
        """Add *labels* to those that are there; what could not be is returned as sentences."""
        ...

    async def add_reviewers(self, found: Found, reviewers: Sequence[str]) -> list[str]:
        """Ask *reviewers*; who could not be asked is returned as sentences."""
        ...

    def shown(self, found: Found) -> PullRequest:
        """The same in our words."""
        ...


async def open_or_update(host: Host[Found], request: PullRequestWanted) -> PullRequest:
    """The rule of `Provider.open_pull_request`, on *host*."""
    warnings: list[str] = []
    try:
        async with asyncio.timeout(_OPENING_SECONDS):
            current, is_new = await _find_or_open(host, request, warnings)
            if not is_new:
                current = await host.update(current, request)
    except TimeoutError:
        raise ProviderError("the host did not answer in time", retryable=True) from None
    warnings += await _extras(host, current, request)
    return replace(host.shown(current), updated=not is_new, warnings=tuple(warnings))


async def each_or_all(
    names: Sequence[str], ask: Callable[[Sequence[str]], Awaitable[None]]
) -> list[str]:
    """
    *ask* for all *names* at once, and one by one when that is refused: hosts refuse a whole list
    for one name. Returns a sentence per refused name.
    """
    try:
        await ask(names)
    except ProviderError as error:
        if error.retryable or len(names) == 1:
            return [f"{', '.join(names)}: {error.message}"]
    else:
        return []
    refused: list[str] = []
    for name in names:
        try:
            await ask([name])
        except ProviderError as error:
            refused.append(f"{name}: {error.message}")
    return refused


async def _find_or_open(
    host: Host[Found], request: PullRequestWanted, warnings: list[str]
) -> tuple[Found, bool]:
    found = await host.find_open(request.head)
    return (found, False) if found is not None else await _open(host, request, warnings)


async def _open(
    host: Host[Found], request: PullRequestWanted, warnings: list[str]
) -> tuple[Found, bool]:
    """The pull request, and whether it was opened as *request* says just now."""
    try:
        return await _create(host, request), True
    except NoDrafts:
        warnings.append("draft: this repository has no drafts; the pull request is ready")
        return await _open(host, replace(request, draft=False), warnings)
    except AlreadyOpen:
        return await _find_announced(host, request.head), False
    except ProviderError as error:
        # Its answer was lost, perhaps after the deed. A limit of rate comes before the deed.
        lost = error.retryable and (error.status is None or error.status >= 500)
        found = await host.find_open(request.head) if lost else None
        if found is None:
            raise
        return found, False


async def _create(host: Host[Found], request: PullRequestWanted) -> Found:
    for seconds in PAUSES_SECONDS:
        try:
            return await host.create(request)
        except Invalid:
            await asyncio.sleep(seconds)  # it may not have seen the push yet
    return await host.create(request)


async def _find_announced(host: Host[Found], head: str) -> Found:
    for seconds in (*PAUSES_SECONDS, 0):
        found = await host.find_open(head)
        if found is not None:
            return found
        await asyncio.sleep(seconds)
    raise ProviderError(
        f"the host says that {head} has an open pull request, but does not list it", retryable=True
    )


async def _extras(host: Host[Found], current: Found, request: PullRequestWanted) -> list[str]:
    """Labels and reviewers. The pull request is there, so nothing here is a failure any more."""
    warnings: list[str] = []
    try:
        async with asyncio.timeout(_EXTRAS_SECONDS):
            if request.labels:
                warnings += await _attempt("label", host.add_labels(current, request.labels))
            if request.reviewers:
                asked = host.add_reviewers(current, request.reviewers)
                warnings += await _attempt("reviewer", asked)
    except TimeoutError:
        warnings.append("labels or reviewers: the host did not answer in time")
    return warnings


async def _attempt(kind: str, adding: Awaitable[list[str]]) -> list[str]:
    try:
        return [f"{kind} {problem}" for problem in await adding]
    except (ProviderError, Invalid) as error:
        return [_refused(kind, error)]


def _refused(kind: str, error: CodeforgeError) -> str:
    return f"{kind}s: {error.message}"
