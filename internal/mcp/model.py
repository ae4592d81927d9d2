"""
An MCP server that an agent is given: a program to start, or an address to call.

The values of `env` and `headers` are secrets as a rule, and a URL's path or query can hold
one: whole servers lie encrypted, and only `ShownServer` is ever told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from internal.redact import MASK, SHORTEST_SECRET, mask_url

_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|auth|cred|session|cookie|dsn", re.IGNORECASE)
_WORD = r"(?:[a-z]{1,24}|[A-Z]{1,24}|[A-Z][a-z]{1,23}|v?\d{1,3})"
_WORDS = rf"{_WORD}(?:[-+_./,;=] ?{_WORD})*"
_PLAIN = re.compile(rf"(?:https?://)?/?{_WORDS}(?::\d{{1,5}}(?:/{_WORDS})?)?/?|[0-9.:]*")
"""
Words and numbers: what a variable holds when it is a mode, a port, a path, a media type or the
plain address of a host, and no secret.
"""
_SCHEME = re.compile(r"(?:Bearer|Basic|Token)\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownServer:
    """What may be told of a server: all but the values of its variables and headers."""

    name: str
    package: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    env_names: tuple[str, ...] = ()
    url: str | None = None
    header_names: tuple[str, ...] = ()

    @classmethod
    def of_members(cls, members: Mapping[str, Any]) -> ShownServer:
        """From what `dataclasses.asdict` made of one, through JSON."""
        return cls(
            name=members["name"],
            package=members.get("package"),
            command=members.get("command"),
            args=tuple(members.get("args", ())),
            env_names=tuple(members.get("env_names", ())),
            url=members.get("url"),
            header_names=tuple(members.get("header_names", ())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """
    One server by its name. Exactly one of `package` (npm), `command` and `url` is set; `args` and
    `env` belong to the first two, `headers` to the last.
    """

    name: str
    package: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    url: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def shown(self) -> ShownServer:
        """What may be told of it."""
        return ShownServer(
            name=self.name,
            package=self.package,
            command=self.command,
            args=self.args,
            env_names=tuple(self.env),
            url=None if self.url is None else _masked(self.url),
            header_names=tuple(self.headers),
        )

    def secrets(self) -> tuple[str, ...]:
        """
        What must not appear in anything a run leaves.

        `NODE_ENV=production` and `Accept: application/json` are none: a diff with these words would
        be withheld.
        """
        values = {value for name, value in self._values() if _is_secret(name, value)}
        return tuple(sorted(values))

    def _values(self) -> Iterator[tuple[str, str]]:
        yield from self.env.items()
        for name, value in self.headers.items():
            yield name, value
            yield name, _SCHEME.sub("", value, count=1)
        if self.url is not None:
            parts = urlsplit(self.url)
            yield from parse_qsl(parts.query)
            for segment in parts.path.split("/"):
                yield "", segment


def encode_servers(servers: Iterable[McpServer]) -> str:
    """As JSON, with every secret: to be sealed."""
    return json.dumps([asdict(server) for server in servers])


def decode_servers(text: str) -> tuple[McpServer, ...]:
    """What `encode_servers` made."""
    rows: list[dict[str, Any]] = json.loads(text)
    return tuple(McpServer(args=tuple(row.pop("args")), **row) for row in rows)


def merge(*groups: Iterable[McpServer]) -> tuple[McpServer, ...]:
    """By name, a later group wins; each stands where its name was first seen."""
    merged = {server.name: server for group in groups for server in group}
    return tuple(merged.values())


def _masked(url: str) -> str:
    """Where a server is, without the parts of its path that look like keys, and without a query."""
    parts = urlsplit(url)
    path = (MASK if _is_secret("", part) else part for part in parts.path.split("/"))
    return mask_url(urlunsplit((parts.scheme, parts.netloc, "/".join(path), "", "")))


def _is_secret(name: str, value: str) -> bool:
    if len(value) < SHORTEST_SECRET:
        return False
    return _SECRET_NAME.search(name) is not None or _PLAIN.fullmatch(value) is None
