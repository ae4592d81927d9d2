"""
A repository's URL, parsed and checked once, so that nothing else has to look at the text again.

What git is given is put together from the parsed parts, never the text that came in: so git and we
cannot read one URL in two ways. Pure; whether a host may be reached at all is decided by addresses
(`vet` in `git.cache`), not here.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from urllib.parse import unquote

from internal.errors import Invalid
from internal.git.model import ProviderName

MAX_URL_CHARS = 2048
MAX_TARGET_CHARS = 255

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_SCP = re.compile(r"(?P<user>[^@:/]+)@(?P<host>\[[^\]]*\]|[^:/@]+):(?P<path>.+)\Z")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/]*)(?P<path>/.*)?\Z")
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
_PROVIDERS = {
    "github.com": ProviderName.GITHUB,
    "gitlab.com": ProviderName.GITLAB,
    "gitea.com": ProviderName.GITEA,
    "codeberg.org": ProviderName.GITEA,
    "bitbucket.org": ProviderName.BITBUCKET,
}
_BAD_IN_TARGET = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)")


class Scheme(StrEnum):
    """How a repository is reached."""

    HTTPS = "https"
    HTTP = "http"
    SSH = "ssh"
    FILE = "file"


_DEFAULT_PORTS = {Scheme.HTTPS: 443, Scheme.HTTP: 80, Scheme.SSH: 22, Scheme.FILE: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """
    One repository, wherever it is. `host` is lower case and empty for `file`; `port` is 0 there.

    `path` is as the URL has it, without slashes at its end. `scp` marks `user@host:path`, whose
    path starts at the user's home and not at the root.
    """

    scheme: Scheme
    host: str
    port: int
    path: str
    user: str | None = None
    scp: bool = False

    @property
    def url(self) -> str:
        """What git is given: no credential in it, the default port left out."""
        if self.scheme is Scheme.FILE:
            return f"file://{self.path}"
        if self.scp:
            return f"{self.user}@{self._bracketed}:{self.path}"
        user = f"{self.user}@" if self.user else ""
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{user}{self._bracketed}{port}{self.path}"

    @property
    def host_url(self) -> str:
        """
        The host's own address over HTTP; empty on a disk.

        One that is reached by ssh is asked at the usual port, whatever port ssh uses.
        """
        match self.scheme:
            case Scheme.FILE:
                return ""
            case Scheme.SSH:
                return f"https://{self._bracketed}"
            case Scheme.HTTP | Scheme.HTTPS:
                port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
                return f"{self.scheme}://{self._bracketed}{port}"

    @property
    def name(self) -> str:
        """The repository's own name: the last part of the path without `.git`."""
        return self.path.rsplit("/", 1)[-1].removesuffix(".git")

    @property
    def owner(self) -> str:
        """The parts of the path before the name, joined by `/`; empty when there are none."""
        return self.path.strip("/").rpartition("/")[0]

    @property
    def canonical(self) -> str:
        """One text per repository: with or without `.git` is the same one, except on a disk."""
        return self.url if self.scheme is Scheme.FILE else self.url.removesuffix(".git")

    @property
    def key(self) -> str:
        """A file name for this repository, the same in every process and version."""
        digest = hashlib.sha256(self.canonical.encode()).hexdigest()[:24]
        return f"{re.sub(r'[^A-Za-z0-9_-]', '-', self.name)[:40]}-{digest}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


@lru_cache(maxsize=1024)
def parse_remote(url: str) -> Remote:
    """
    Read a repository URL: http(s), ssh, `user@host:path`, or `file`.

    Raises:
        Invalid: it is no such URL, or carries a credential; `fields["repo_url"]` says what is
        wrong.
    """
    if not url or len(url) > MAX_URL_CHARS:
        raise _invalid(f"must have 1 to {MAX_URL_CHARS} characters")
    if any(not char.isprintable() or char.isspace() or char == "\\" for char in url):
        raise _invalid("must not contain spaces, control characters or backslashes")
    if match := _URL.match(url):
        return _from_url(match["scheme"].lower(), match["authority"], match["path"] or "")
    if (match := _SCP.match(url)) and not url.startswith("-"):
        host, _ = _split_port(match["host"])
        path = _checked_path(match["path"])
        user = _checked_user(match["user"])
        return Remote(scheme=Scheme.SSH, host=host, port=22, path=path, user=user, scp=True)
    raise _invalid("must be an http(s), ssh or file URL, or user@host:path")


def provider_of(remote: Remote, domains: Mapping[str, str]) -> ProviderName | None:
    """
    Whose API serves the pull requests of *remote*; None when nobody told us.

    *domains* is the setting `git.provider_domains`, host to provider, and goes before the public
    hosts. Hosts below a known one are not included: anybody may have a page there.

    Raises:
        Invalid: *domains* names a provider that we do not know for this host.
    """
    named = next((name for host, name in domains.items() if _same_host(host, remote.host)), None)
    if named is None:
        return _PROVIDERS.get(remote.host)
    try:
        return ProviderName(named.strip().lower())
    except ValueError:
        problem = f"{remote.host}: {named!r} is none of {', '.join(ProviderName)}"
        raise Invalid(problem, fields={"git.provider_domains": problem}) from None


def check_target(target: str) -> str:
    """
    A branch, a tag, or a commit id, as the user may name it; returned unchanged.

    Raises:
        Invalid: git could not have a reference of this name.
    """
    bad = (
        not target
        or len(target) > MAX_TARGET_CHARS
        or target == "@"
        or target[0] in "-./"
        or target[-1] in "./"
        or _BAD_IN_TARGET.search(target) is not None
        or not target.isprintable()
    )
    if bad:
        problem = "must be the name of a branch or tag, or a commit id"
        raise Invalid(f"target_branch {problem}", fields={"config.target_branch": problem})
    return target


def mask_url(text: str) -> str:
    """The same text with what stands between `://` and `@` hidden, for messages about bad URLs."""
    return _USER_INFO.sub("***@", text)


def _from_url(scheme_name: str, authority: str, path: str) -> Remote:
    try:
        scheme = Scheme(scheme_name)
    except ValueError:
        raise _invalid(f"has the scheme {scheme_name!r}; use https, http, ssh or file") from None
    user_info, at, host_port = authority.rpartition("@")
    if at and (scheme is not Scheme.SSH or ":" in user_info):
        raise _invalid("must not contain a user or password; put a token into access_token")
    if scheme is Scheme.FILE:
        if host_port not in {"", "localhost"}:
            raise _invalid("must be file:///absolute/path")
        if "%" in path:  # which git would read as another path than the one we looked at
            raise _invalid("must be file:///absolute/path, without %")
        return Remote(scheme=scheme, host="", port=0, path=_checked_path(path))
    host, port = _split_port(host_port)
    return Remote(
        scheme=scheme,
        host=host,
        port=port or _DEFAULT_PORTS[scheme],
        path=_checked_path(path),
        user=_checked_user(user_info) if at else None,
    )


def _split_port(host_port: str) -> tuple[str, int]:
    host, port_text = host_port, ""
    if host_port.startswith("["):
        host, closing, rest = host_port[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")):
            raise _invalid("has no valid host")
        port_text = rest[1:]
    elif ":" in host_port:
        host, _, port_text = host_port.partition(":")
    if port_text and not (port_text.isascii() and port_text.isdigit() and len(port_text) <= 5):
        raise _invalid("has no valid port")
    port = int(port_text or 0)
    if port > 65535 or (port_text and port == 0):
        raise _invalid("has no valid port")
    return _checked_host(host, bracketed=host_port.startswith("[")), port


def _checked_host(host: str, *, bracketed: bool) -> str:
    if bracketed:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            raise _invalid("has no valid host") from None
    host = host.lower().removesuffix(".")
    if not _HOST.match(host) or ".." in host:
        raise _invalid("has no valid host; write international names in their xn-- form")
    # Resolvers read 2130706433, 0x7f.1 and 127.1 as addresses; one address has one spelling here.
    last = host.rsplit(".", 1)[-1]
    if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise _invalid("has no valid host") from None
    return host


def _checked_user(user: str) -> str:
    if not _USER.match(user):
        raise _invalid("has no valid user")
    return user


def _checked_path(path: str) -> str:
    path = path.rstrip("/")
    parts = path.strip("/").split("/")
    if not parts[0] or any(part in {"", ".", ".."} for part in parts):
        raise _invalid("has no valid path to a repository")
    if parts[0].startswith(("-", ":")) or "?" in path or "#" in path:
        raise _invalid("has no valid path to a repository")
    if parts[-1] == ".git" and len(parts) == 1:
        raise _invalid("has no valid path to a repository")
    if any(_hides_another_path(part) for part in parts):
        raise _invalid("has no valid path to a repository")
    return path


def _hides_another_path(part: str) -> bool:
    """
    Whether a server, or a later libcurl, reads *part* as a way to elsewhere: `%2e%2e`, `a%2fb`.

    The repositories that a key is for are compared with the path as it is written.
    """
    plain = unquote(part)
    return plain in {".", ".."} or not set(plain).isdisjoint("/\\\0")


def _same_host(written: str, host: str) -> bool:
    return bool(host) and written.strip().lower().removesuffix(".") == host


def _invalid(problem: str) -> Invalid:
    return Invalid(f"repo_url {problem}", fields={"repo_url": problem})
