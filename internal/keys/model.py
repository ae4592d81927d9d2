"""
A registered key: what may be told of it, and where it may be used. Pure.

A key is bound to a place. One with a base URL serves that address and nothing else; one without
serves the hosts of its provider, over https only. So a task that names somebody else's host gets
nothing, and no token travels in clear unless its owner wrote `http://` into the key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

MAX_TOKEN_CHARS = 4_096
MAX_SCOPE_PATTERNS = 64
MAX_KEYS = 1_000
"""Of one tenant: choosing a default looks at all of them."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}\Z")
_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)*/(\*|[A-Za-z0-9_.-]+)\Z")
_MAX_PATTERN_CHARS = 255
_API_PATH = re.compile(r"/(api/v\d+|2\.0)\Z")
_API_HOSTS = re.compile(r"(?<=://)api\.(?=(github\.com|bitbucket\.org|[a-z0-9-]+\.ghe\.com)\Z)")
"""Whose API is at a host of its own; a key for that one is for the site."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HINT_CHARS = 4
_HINTED_FROM = 16
"""A shorter token would lose too much of itself to its hint."""


class KeyProvider(StrEnum):
    """Whose key it is."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    BITBUCKET = "bitbucket"
    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    GOOGLE = "google"
    GENERIC = "generic"


GIT_PROVIDERS = frozenset(
    {KeyProvider.GITHUB, KeyProvider.GITLAB, KeyProvider.GITEA, KeyProvider.BITBUCKET}
)
MODEL_PROVIDERS = frozenset({KeyProvider.ANTHROPIC, KeyProvider.OPENAI, KeyProvider.GOOGLE})
NEEDS_BASE_URL = frozenset({KeyProvider.GITEA, KeyProvider.GENERIC})
"""Gitea has no one public host, a generic key none at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A checked request for a key."""

    name: str
    provider: KeyProvider
    base_url: str | None = None
    scope: tuple[str, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredKey:
    """
    What may be told of a key. `scope` lists the repositories it may be used for; empty: all.

    `kid` is the id of the master key that seals it, `hint` the end of its value.
    """

    name: str
    provider: KeyProvider
    hint: str
    kid: str
    created_at: datetime
    base_url: str | None = None
    scope: tuple[str, ...] = ()
    last_used_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GitPlace:
    """
    Where a git token would go. `origin` is scheme, host and port, `repository` the path there.

    `provider` is whose host it is, as far as anybody told us.
    """

    origin: str
    repository: str
    provider: str | None = None


def git_place(host_url: str, path: str, provider: str | None) -> GitPlace:
    """
    A place from its host's address over HTTP, empty for a repository on a disk, and its path.
    """
    return GitPlace(
        origin=origin_of(host_url) if host_url else "a local repository",
        repository=path.strip("/").removesuffix(".git"),
        provider=provider,
    )


def is_name(text: str) -> bool:
    """1 to 64 letters, digits, `_` and `-`."""
    return _NAME.match(text) is not None


def is_token(text: str) -> bool:
    """Printable ASCII without spaces, which every header and every credential helper can carry."""
    return _TOKEN.match(text) is not None


def is_scope_pattern(text: str) -> bool:
    """`owner/repository`, or `owner/*` for every repository below an owner or a group."""
    return len(text) <= _MAX_PATTERN_CHARS and _PATTERN.match(text) is not None


def key_place(name: str) -> str:
    """The name a registered key is bound to in its sealed record."""
    return f"key:{name}"


def hint_of(token: str) -> str:
    """The end of *token*, by which its owner knows it again; nothing of a short one."""
    return f"…{token[-_HINT_CHARS:]}" if len(token) >= _HINTED_FROM else "…"


def origin_of(url: str) -> str:
    """Scheme, host and port of an http(s) URL in one spelling, the default port left out."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removesuffix(".")
    port = parts.port
    bracketed = f"[{host}]" if ":" in host else host
    shown = "" if port is None or port == _DEFAULT_PORTS.get(parts.scheme) else f":{port}"
    return f"{parts.scheme}://{bracketed}{shown}"


def is_expired(key: RegisteredKey, now: datetime) -> bool:
    """Whether its time is over."""
    return key.expires_at is not None and key.expires_at <= now


def refusal(key: RegisteredKey, place: GitPlace, now: datetime) -> str | None:
    """Why *key* may not be used at *place* now, as the end of "The key ..."; None when it may."""
    if key.provider in MODEL_PROVIDERS:
        return f"is one of {key.provider}, which hosts no repositories"
    if is_expired(key, now):
        return "has expired"
    if not _serves(key, place):
        wanted = key.base_url or f"the hosts of {key.provider} over https"
        return f"is for {wanted}, not for {place.origin}"
    if not _covers(key, place):
        return "may not be used for this repository"
    return None


def _serves(key: RegisteredKey, place: GitPlace) -> bool:
    if key.base_url is None:
        return place.provider == key.provider and place.origin.startswith("https://")
    base = _base_path(key.base_url)
    inside = not base or f"{place.repository.casefold()}/".startswith(f"{base.casefold()}/")
    return inside and _site_of(key.base_url) == place.origin


def _site_of(base_url: str) -> str:
    return _API_HOSTS.sub("", origin_of(base_url))


def _covers(key: RegisteredKey, place: GitPlace) -> bool:
    if not key.scope:
        return True
    base = _base_path(key.base_url) if key.base_url else ""
    repository = place.repository[len(base) :].strip("/").casefold()
    return any(_matches(repository, pattern.casefold()) for pattern in key.scope)


def _matches(repository: str, pattern: str) -> bool:
    # Hosts look names up without regard to case, so a pattern does, too.
    if pattern.endswith("/*"):
        return repository.startswith(pattern[:-1])
    return repository == pattern


def _base_path(base_url: str) -> str:
    """The part of the path that repositories begin with there; an API's own is none."""
    return _API_PATH.sub("", urlsplit(base_url).path.rstrip("/")).strip("/")
