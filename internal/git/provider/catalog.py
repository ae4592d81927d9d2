"""The one table from a repository's host to the code that speaks its API."""

from __future__ import annotations

from collections.abc import Mapping

from internal.egress.client import HttpClient
from internal.git.model import ProviderName
from internal.git.provider.base import Provider, TokenCheck, UnsupportedHost
from internal.git.provider.bitbucket import Bitbucket, bitbucket_api, check_bitbucket_token
from internal.git.provider.gitea import Gitea, check_gitea_token, gitea_api
from internal.git.provider.github import GitHub, check_github_token, github_api
from internal.git.provider.gitlab import GitLab, check_gitlab_token, gitlab_api
from internal.git.provider.hosted import Hosted
from internal.git.provider.root import place_of, root_of
from internal.git.remote import Remote, provider_of


def provider_for(
    remote: Remote,
    *,
    domains: Mapping[str, str],
    base_url: str | None,
    token: str | None,
    http: HttpClient,
) -> Provider:
    """
    The provider of *remote*, to be used with *token*.

    *base_url* is the one of the registered key, when it has one: its scheme, port and path are
    kept. Without it they are those of *remote* when that is http(s), else https.

    Raises:
        UnsupportedHost: the host is no public one that we know and not in *domains*.
        Invalid: *base_url*, a value of *domains*, or the repository's path makes no sense.
    """
    name = provider_of(remote, domains)
    if name is None:
        host = remote.host or "a local path"
        raise UnsupportedHost(f"{host} is no host of pull requests; see git.provider_domains")
    place = place_of(name, remote, base_url)
    match name:
        case ProviderName.GITHUB:
            return Hosted(GitHub(github_api(http, place.root, token), place))
        case ProviderName.GITLAB:
            return Hosted(GitLab(gitlab_api(http, place.root, token), place))
        case ProviderName.GITEA:
            return Hosted(Gitea(gitea_api(http, place.root, token), place))
        case ProviderName.BITBUCKET:
            return Hosted(Bitbucket(bitbucket_api(http, place.root, token), place))


async def check_token(
    name: ProviderName, *, base_url: str | None, token: str, http: HttpClient
) -> TokenCheck:
    """
    Ask the public host of *name*, or the one at *base_url*, about *token*.

    Raises:
        ProviderError: the host did not answer as it should.
        PolicyDenied: it is in a private network; see `egress.allow`.
        Invalid: *base_url* is no http(s) URL, or Gitea is asked for without one.
    """
    root = root_of(name, base_url)
    match name:
        case ProviderName.GITHUB:
            return await check_github_token(github_api(http, root, token))
        case ProviderName.GITLAB:
            return await check_gitlab_token(gitlab_api(http, root, token))
        case ProviderName.GITEA:
            return await check_gitea_token(gitea_api(http, root, token))
        case ProviderName.BITBUCKET:
            return await check_bitbucket_token(bitbucket_api(http, root, token))
