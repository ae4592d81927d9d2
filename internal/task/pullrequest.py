"""
What a client asks of a pull request, and what became of it. Pure data.

What is None was not said: the task's own `config.pr` decides then, and behind it the templates of
the operator and the repository.
"""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestOptions:
    """Title, description, target branch and more, as far as somebody chose them."""

    title: str | None = None
    description: str | None = None
    target_branch: str | None = None
    draft: bool | None = None
    labels: tuple[str, ...] | None = None
    reviewers: tuple[str, ...] | None = None

    def over(self, others: PullRequestOptions) -> PullRequestOptions:
        """These, and those of *others* where nothing was said here."""
        return dataclasses.replace(others, **self.said())

    def said(self) -> dict[str, Any]:
        """The members that were chosen."""
        members = ((name, getattr(self, name)) for name in _MEMBERS)
        return {name: value for name, value in members if value is not None}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A create-pr run ended with a pull request; `updated` when it had been open before."""

    url: str
    number: int
    branch: str
    updated: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NotPublished:
    """
    A create-pr run ended without one; everything is as before. `reason` is the code of an error.
    """

    reason: str
    message: str


_MEMBERS = tuple(field.name for field in dataclasses.fields(PullRequestOptions))
