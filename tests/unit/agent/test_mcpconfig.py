"""The configuration file of each CLI, and how a driver hands it over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from internal.agent.claude import ClaudeCode
from internal.agent.mcpconfig import claude_config, programs_of
from internal.agent.model import AgentRequest
from internal.agent.privatefile import private_files, private_path
from internal.mcp.model import McpServer


def server(**members: Any) -> dict[str, Any]:
    """What Claude Code is told of one server; of all programs only `python3` is on PATH."""
    config = claude_config([McpServer(name="s", **members)], _PATH.get)
    found: dict[str, Any] = json.loads(config)["mcpServers"]["s"]
    return found


_PATH = {"python3": "/usr/bin/python3"}


def test_a_package_is_run_by_npx() -> None:
    """As the first version of the API did it."""
    assert server(package="@a/b@1.2", args=("--port", "1"), env={"K": "v"}) == {
        "type": "stdio",
        "command": "npx",
        "args": ["-y", "@a/b@1.2", "--port", "1"],
        "env": {"K": "v"},
    }


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("python3", ["python3", "x"]),
        ("/opt/server", ["/opt/server", "x"]),
        ("./server", ["./server", "x"]),
        ("@a/b", ["npx", "-y", "@a/b", "x"]),
        ("some-mcp-server", ["npx", "-y", "some-mcp-server", "x"]),
    ],
)
def test_a_command_that_is_no_program_is_a_package(command: str, argv: list[str]) -> None:
    """A name of npm without a program of that name on PATH; its scope has a slash of its own."""
    found = server(command=command, args=("x",))

    assert [found["command"], *found["args"]] == argv


def test_an_address_is_called_with_its_headers() -> None:
    """Streamable HTTP, which Claude Code calls `http`."""
    found = server(url="https://example.com/mcp", headers={"Authorization": "Bearer t"})

    assert found == {
        "type": "http",
        "url": "https://example.com/mcp",
        "headers": {"Authorization": "Bearer t"},
    }


def test_a_sandbox_shows_programs_on_path_and_no_path_of_a_tenant() -> None:
    """Else a server called like a file would open the directory it lies in."""
    servers = [
        McpServer(name="a", command="python3"),
        McpServer(name="b", command="/home/somebody/tool"),
        McpServer(name="c", command="../tool"),
        McpServer(name="d", package="@a/b"),
    ]

    assert programs_of(servers) == ("npx", "python3")
    assert programs_of([McpServer(name="e", url="https://e.com")]) == ()


def test_no_text_of_a_tenant_names_a_variable_of_the_agent() -> None:
    """`${ANTHROPIC_API_KEY}` in a header would send our key to the tenant's server."""
    found = server(url="https://e.com/${A}", headers={"X": "${ANTHROPIC_API_KEY} and ${B:-c}"})

    assert "${ANTHROPIC_API_KEY}" not in json.dumps(found)
    assert found["headers"]["X"].count("${CODEFORGE_NO_VARIABLE:-$}{") == 2


def test_without_servers_there_is_no_file_and_still_no_server_of_the_repository() -> None:
    """`--strict-mcp-config` always stands."""
    launch = ClaudeCode().launch(_request())

    assert launch.files == ()
    assert "--strict-mcp-config" in launch.argv
    assert "--mcp-config" not in launch.argv


def test_the_file_lies_in_the_home_under_a_name_nobody_knows() -> None:
    """Secrets are in it and never in argv or the environment."""
    secret = "s3cr3t-value"  # noqa: S105 -- nothing is behind it
    servers = (McpServer(name="s", command="python3", env={"K": secret}),)

    launches = [ClaudeCode().launch(_request(mcp_servers=servers)) for _ in range(2)]

    for launch in launches:
        (file,) = launch.files
        assert file.path.parent == Path("/home-of-agent")
        assert launch.argv[launch.argv.index("--mcp-config") + 1] == str(file.path)
        assert secret.encode() in file.content
        assert secret not in " ".join([*launch.argv, *launch.environment.values(), repr(launch)])
    assert launches[0].files[0].path != launches[1].files[0].path


def test_a_private_file_is_ours_alone_and_goes_with_the_run(tmp_path: Path) -> None:
    """Also when the agent has locked its home."""
    launch = ClaudeCode().launch(
        _request(home=tmp_path, mcp_servers=(McpServer(name="s", command="x"),))
    )
    (file,) = launch.files

    with private_files(launch.files):
        assert file.path.stat().st_mode & 0o777 == 0o600
        assert file.path.read_bytes() == file.content
        tmp_path.chmod(0o500)

    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_through_what_lies_at_the_path(tmp_path: Path) -> None:
    """A home can hold links that an agent has made."""
    target = tmp_path / "target"
    target.write_text("precious")
    launch = ClaudeCode().launch(
        _request(home=tmp_path, mcp_servers=(McpServer(name="s", command="x"),))
    )
    launch.files[0].path.symlink_to(target)

    with pytest.raises(FileExistsError), private_files(launch.files):
        pass

    assert target.read_text() == "precious"


def test_two_private_paths_differ(tmp_path: Path) -> None:
    """A session that is resumed has a home that an agent wrote."""
    assert private_path(tmp_path, "mcp") != private_path(tmp_path, "mcp")


def _request(**members: Any) -> AgentRequest:
    given: dict[str, Any] = {"home": Path("/home-of-agent"), **members}
    return AgentRequest(prompt="p", workspace=Path("/work"), **given)
