"""
Where the API of a host lies, and how it names a repository. Pure.

The public hosts have theirs at places of their own; any other host has it below itself, with the
scheme, port and path that the operator or the repository's URL gave.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx2

from internal.egress.url import parse_http_url
from internal.errors import Invalid
from internal.git.model import ProviderName
from internal.git.remote import Remote, Scheme

_PATHS = {
    ProviderName.GITHUB: "/api/v3",
    ProviderName.GITLAB: "/api/v4",
    ProviderName.GITEA: "/api/v1",
    ProviderName.BITBUCKET: "/2.0",
}
_PUBLIC = {
    ProviderName.GITHUB: "https://api.github.com",
    ProviderName.GITLAB: "https://gitlab.com/api/v4",
    ProviderName.BITBUCKET: "https://api.bitbucket.org/2.0",
}
_API_OF_HOST = {
    "github.com": "https://api.github.com",
    "api.github.com": "https://api.github.com",
    "bitbucket.org": "https://api.bitbucket.org/2.0",
    "api.bitbucket.org": "https://api.bitbucket.org/2.0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`root` is the API's URL without a slash at its end, `path` the repository's on the site."""

    root: str
    path: str

    @property
    def owner_and_name(self) -> tuple[str, str]:
        """
        The two parts of `path`, for hosts that have no deeper ones.

        Raises:
            Invalid: there are more, or fewer; `fields["repo_url"]` says so.
        """
        owner, _, name = self.path.partition("/")
        if not name or "/" in name:
            raise _no_repository("owner and name")
        return owner, name


def place_of(name: ProviderName, remote: Remote, base_url: str | None) -> Place:
    """
    The API that serves *remote*, and the repository's path in it.

    Raises:
        Invalid: *base_url* is no http(s) URL, or the repository's path has a single part.
    """
    site = _site(name, base_url) if base_url else None
    path = _path(remote, site)
    if "/" not in path:
        raise _no_repository("an owner and a name")
    return Place(root=_root(name, site or _site_of(remote)), path=path)


def root_of(name: ProviderName, base_url: str | None) -> str:
    """
    The API of the site at *base_url*, of the public one without it.

    Raises:
        Invalid: *base_url* is no http(s) URL, or there is no single public site (Gitea).
    """
    if base_url:
        return _root(name, _site(name, base_url))
    if name not in _PUBLIC:
        problem = f"is needed for {name}, which has no single public site"
        raise Invalid(f"base_url {problem}", fields={"base_url": problem})
    return _PUBLIC[name]


def _site(name: ProviderName, base_url: str) -> httpx2.URL:
    """*base_url* without its last slash, and without the API's own path when it was given."""
    url = parse_http_url(base_url)
    path = url.path.rstrip("/").removesuffix(_PATHS[name])
    return url.copy_with(path=path or "/", query=None, fragment=None)


def _site_of(remote: Remote) -> httpx2.URL:
    if remote.scheme in {Scheme.HTTP, Scheme.HTTPS}:
        return parse_http_url(remote.url).copy_with(path="/")
    host = f"[{remote.host}]" if ":" in remote.host else remote.host
    return parse_http_url(f"https://{host}/")


def _root(name: ProviderName, site: httpx2.URL) -> str:
    if site.host in _API_OF_HOST:
        return _API_OF_HOST[site.host]
    if name is ProviderName.GITHUB and site.host.endswith(".ghe.com"):
        # GitHub's enterprise cloud with a place of its own: SUBDOMAIN.ghe.com.
        return f"https://api.{site.host.removeprefix('api.')}"
    return str(site).rstrip("/") + _PATHS[name]


def _path(remote: Remote, site: httpx2.URL | None) -> str:
    path = remote.path.strip("/").removesuffix(".git")
    prefix = site.path.strip("/") if site else ""
    if prefix and remote.scheme in {Scheme.HTTP, Scheme.HTTPS}:
        path = path.removeprefix(f"{prefix}/")
    return path


def _no_repository(wanted: str) -> Invalid:
    problem = f"must end in the repository's {wanted}, as this host has them"
    return Invalid(f"repo_url {problem}", fields={"repo_url": problem})
