"""The body that describes an MCP server, alone or in the `config` of a task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo

from internal.mcp.model import McpServer
from internal.server.complaints import complain
from internal.server.fields import Body, http_url, no_controls, printable_ascii, rules_of

MAX_SERVERS = 32
"""In one task."""

_MAX_PAIRS = 64
_MAX_LINES = 128
"""Of all variables of a server: each line is looked for in all that a run says."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\Z")  # a token of RFC 9110
_OUR_VARIABLES = "CODEFORGE_"


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise complain("must not contain a NUL character")
    return text


def _check_package(text: str) -> str:
    # Else it would be an option of npx.
    if text.startswith("-") or " " in text or not (text.isascii() and text.isprintable()):
        raise complain("must be the name of an npm package")
    return text


def _check_command(text: str) -> str:
    if text.startswith("-") or (text and not text.strip()):
        raise complain("must be a program, or the name of an npm package")
    return no_controls(text)


def _check_env(env: dict[str, str]) -> dict[str, str]:
    for name in env:
        if not _VARIABLE.match(name) or name.startswith(_OUR_VARIABLES):
            raise complain("must have names of variables, none of CodeForge's own")
    if sum(len(value.splitlines()) for value in env.values()) > _MAX_LINES:
        raise complain(f"must have at most {_MAX_LINES} lines in all values")
    return env


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    if not all(_HEADER.match(name) for name in headers):
        raise complain("must have names of HTTP headers")
    return headers


def _check_url(url: str, info: ValidationInfo) -> str:
    if url:  # some clients send "" for what they leave out
        http_url(url, rules_of(info).check_http_host)
    return url


def _check_kind(url: str | None, info: ValidationInfo) -> str | None:
    """The last member is judged with all others in sight; those that are wrong are not there."""
    kinds = ("package", "command")
    wrong = any(name not in info.data for name in kinds)
    given = [name for name in kinds if info.data.get(name)] + ["url"] * bool(url)
    if len(given) != 1 and not wrong:
        raise complain("is one of package, command and url, of which exactly one must be given")
    if given == ["url"] and (info.data.get("args") or info.data.get("env")):
        raise complain("does not go with args and env")
    if "url" not in given and info.data.get("headers"):
        raise complain("is missing, without which headers mean nothing")
    return url


_Value = Annotated[str, StringConstraints(max_length=8_192)]


class McpServerBody(Body):
    """One MCP server: an npm package or a program with arguments, or a URL."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    package: (
        Annotated[str, StringConstraints(max_length=256), AfterValidator(_check_package)] | None
    ) = None
    command: (
        Annotated[str, StringConstraints(max_length=1_024), AfterValidator(_check_command)] | None
    ) = None
    args: (
        Annotated[
            list[Annotated[str, StringConstraints(max_length=4_096), AfterValidator(_no_nul)]],
            Field(max_length=_MAX_PAIRS),
        ]
        | None
    ) = None
    env: (
        Annotated[
            dict[str, Annotated[_Value, AfterValidator(_no_nul)]],
            Field(max_length=_MAX_PAIRS),
            AfterValidator(_check_env),
        ]
        | None
    ) = None
    headers: (
        Annotated[
            dict[str, Annotated[_Value, AfterValidator(printable_ascii)]],
            Field(max_length=_MAX_PAIRS),
            AfterValidator(_check_headers),
        ]
        | None
    ) = None
    url: Annotated[
        Annotated[str, StringConstraints(max_length=2_048), AfterValidator(_check_url)] | None,
        AfterValidator(_check_kind),
        Field(validate_default=True),
    ] = None

    def server(self) -> McpServer:
        """What the registry takes."""
        return McpServer(
            name=self.name,
            package=self.package or None,
            command=self.command or None,
            args=tuple(self.args or ()),
            env=self.env or {},
            url=self.url or None,
            headers=self.headers or {},
        )


def distinct_names(servers: Sequence[McpServerBody]) -> Sequence[McpServerBody]:
    """A validator of a task's servers: each name once."""
    names = [server.name for server in servers]
    if len(set(names)) < len(names):
        raise complain("must not have two servers of one name")
    return servers
