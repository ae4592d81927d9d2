"""Providers as the service makes them, and pull requests as publishing wants them."""

from __future__ import annotations

from internal.egress.client import HttpClient
from internal.git.model import PullRequestWanted
from internal.git.provider.base import Provider
from internal.git.provider.catalog import provider_for
from internal.git.remote import parse_remote
from tests.support.hosts.double import TOKEN, HostDouble

PULLS = "/(pulls|merge_requests|pullrequests)"
"""The path of the list of pull requests, on every host."""


def speak(double: HostDouble, http: HttpClient, *, token: str | None = TOKEN) -> Provider:
    """A provider made as the service makes it, from the repository's URL and the settings."""
    return provider_for(
        parse_remote(double.clone_url()),
        domains={"127.0.0.1": double.name},
        base_url=None,
        token=token,
        http=http,
    )


def wanted(
    *,
    head: str = "codeforge/1",
    base: str = "trunk",
    title: str = "Add a login",
    description: str = "What was done.\n\nAnd why: ü ✓",
    draft: bool = False,
    labels: tuple[str, ...] = (),
    reviewers: tuple[str, ...] = (),
) -> PullRequestWanted:
    """A pull request as publishing wants it."""
    return PullRequestWanted(
        head=head,
        base=base,
        title=title,
        description=description,
        draft=draft,
        labels=labels,
        reviewers=reviewers,
    )
