"""What is told of an MCP server, what of it is a secret, and who wins by name."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from internal.mcp.model import (
    McpServer,
    ShownServer,
    decode_servers,
    encode_servers,
    merge,
)

PROGRAM = McpServer(name="a", package="@x/y", args=("--port", "1"), env={"API": "s3cr3t-value"})
REMOTE = McpServer(
    name="b",
    url="https://mcp.example.com/?api_key=in-the-query",
    headers={"Authorization": "Bearer in-the-header"},
)


def test_nothing_that_is_told_holds_a_value() -> None:
    """Neither what is shown nor what a log or a traceback would print; only the names are."""
    for server in (PROGRAM, REMOTE):
        told = json.dumps(asdict(server.shown())) + repr(server)
        for secret in ("s3cr3t-value", "in-the-query", "in-the-header"):
            assert secret not in told

    assert PROGRAM.shown().env_names == ("API",)
    assert REMOTE.shown().header_names == ("Authorization",)


def test_a_key_in_the_path_of_a_url_is_a_secret() -> None:
    """Hosted servers are reached by an address that is the key: it is neither shown nor said."""
    key = "NGE4MWE1-zq8Fh2kQ0vbm3"
    server = McpServer(name="c", url=f"https://mcp.example.com:8443/api/v1/s/{key}/mcp?mode=x&k=1")

    assert key in server.secrets()
    assert server.shown().url == "https://mcp.example.com:8443/api/v1/s/***/mcp"
    assert set(McpServer(name="d", url="https://mcp.example.com/some-path/v1").secrets()) == set()


def test_it_comes_back_from_its_record_as_it_was() -> None:
    """What is sealed is the whole server; what is shown survives JSON, too."""
    assert decode_servers(encode_servers([PROGRAM, REMOTE])) == (PROGRAM, REMOTE)
    for server in (PROGRAM, REMOTE):
        members = json.loads(json.dumps(asdict(server.shown())))
        assert ShownServer.of_members(members) == server.shown()


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("NODE_ENV", "production", False),
        ("PORT", "8080.0", False),
        ("ACCEPT", "application/json, text/event-stream", False),
        ("REGION", "eu-central-1", False),
        ("URL", "https://api.example.com:8443/v1/", False),
        ("FOLDER", "/var/lib/some_thing", False),
        ("URL", "https://user:pw@example.com/", True),
        ("URL", "https://hooks.example.com/services/T0B1/x8Fh2kQ0vbm3", True),
        ("URL", "https://api.example.com/?sig=Zx9unguessable", True),
        ("LOGIN", "admin:hunter", True),
        ("SOMETHING", "0123456789abcdef0123456789abcdef", True),
        ("SOMETHING", "abcdefghijklmnopqrstuvwxyzabcd", True),
        ("DB_PASSWORD", "production", True),
        ("SOMETHING", "Zx9-unguessable", True),
        ("API_TOKEN", "short", False),
    ],
)
def test_a_mode_is_no_secret(name: str, value: str, is_secret: bool) -> None:
    """A word that stands everywhere must not blank a run's output or withhold its diff."""
    server = McpServer(name="a", command="x", env={name: value})

    assert (value in server.secrets()) is is_secret


def test_a_header_is_a_secret_with_and_without_its_scheme() -> None:
    """A tool prints either; a key in the query of the URL is one as well."""
    assert set(REMOTE.secrets()) == {"Bearer in-the-header", "in-the-header", "in-the-query"}


def test_a_later_group_wins_and_the_first_place_stays() -> None:
    """Global, then project, then task: by name."""
    first, second = McpServer(name="a", command="one"), McpServer(name="b", command="two")
    later = McpServer(name="a", command="three")

    assert merge([first, second], [later]) == (later, second)
