"""
`redis.url` as values: where Redis is, checked before anything connects.

Beside redis-py's own schemes (`redis://`, `rediss://`, `unix://`) there is one for Sentinel:
`redis+sentinel://user:password@host:port,host:port/service/db`, with `rediss+sentinel://` for TLS
to the data nodes, and `?sentinel_username=`, `?sentinel_password=` for the sentinels themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from internal.errors import Invalid

_PLAIN = ("redis", "rediss", "unix")
_SENTINEL = ("redis+sentinel", "rediss+sentinel")
_SENTINEL_PORT = 26379
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password")
_TLS_CHECKS = ("ssl_cert_reqs", "ssl_check_hostname", "ssl_min_version")
_OPTIONS = frozenset({"db", "username", "password", *_TLS_OPTIONS, *_TLS_CHECKS})
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelAddress:
    """Sentinels and the service they watch; secrets stay out of `repr`."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int
    tls: bool
    username: str | None
    password: str | None = field(repr=False)
    sentinel_username: str | None
    sentinel_password: str | None = field(repr=False)
    tls_options: dict[str, str] = field(repr=False)


def parse_sentinel(url: str) -> SentinelAddress | None:
    """
    The address behind a Sentinel URL, or None when *url* is one that redis-py reads itself.

    Raises:
        Invalid: the scheme, an option or a part of it is not understood; the field is `redis.url`.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme in _PLAIN:
        _refuse_unknown(options, _OPTIONS)
        return None
    if parts.scheme not in _SENTINEL:
        _refuse(f"the scheme must be one of {', '.join(_PLAIN + _SENTINEL)}")
    _refuse_unknown(options, _OPTIONS | _SENTINEL_OPTIONS)
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        _refuse("a Sentinel URL ends with /<service> or /<service>/<db>")
    if not (db or "0").isdecimal():
        _refuse("the database after the service must be a number")
    username, password = _credentials(parts)
    return SentinelAddress(
        hosts=_hosts(parts),
        service=unquote(service),
        db=int(options.get("db", db) or 0),
        tls=parts.scheme == "rediss+sentinel",
        username=options.get("username", username),
        password=options.get("password", password),
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        tls_options={name: value for name, value in options.items() if name.startswith("ssl_")},
    )


def mask(url: str) -> str:
    """*url* as it may be shown: every password is `***`, the rest is readable."""
    masked = re.sub(r"([?&]\w*password=)[^&]*", r"\1***", url)
    # Greedy up to the last @, because a password that was not percent-encoded may hold one.
    return re.sub(r"(://[^:@/]*):.*@", r"\1:***@", masked)


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    userinfo, _, _ = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    return unquote(username) or None, unquote(password) or None


def _hosts(parts: SplitResult) -> tuple[tuple[str, int], ...]:
    _, _, places = parts.netloc.rpartition("@")
    return tuple(_host(place) for place in places.split(","))


def _host(place: str) -> tuple[str, int]:
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:]+)(?::(\d{1,5}))?", place)
    if found is None:
        _refuse("each sentinel is host or host:port, separated by commas")
    return found[1].strip("[]"), int(found[2] or _SENTINEL_PORT)


def _refuse_unknown(options: dict[str, str], known: frozenset[str]) -> None:
    unknown = sorted(options.keys() - known)
    if unknown:
        _refuse(f"unknown option {', '.join(unknown)}; known are {', '.join(sorted(known))}")


def _refuse(problem: str) -> NoReturn:
    # The URL itself stays out of the message: it may hold a password.
    raise Invalid(f"redis.url: {problem}", fields={"redis.url": problem})
