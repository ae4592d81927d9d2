"""
MCP servers as each CLI wants them: the content of its configuration file, one function per CLI.

The file lies in the agent's home, never in the workspace, so it is in no diff and in the place of
no file of the repository. It holds secrets: it is private and goes when the run ends.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence

from internal.agent.model import Json
from internal.mcp.model import McpServer

Which = Callable[[str], str | None]
"""Where a program is on the agent's PATH, or None."""

_LITERAL_DOLLAR = "${CODEFORGE_NO_VARIABLE:-$}"


def on_path(path: str | None) -> Which:
    """Looks for programs on *path* as the agent will."""
    return lambda program: shutil.which(program, path=path or "")


def programs_of(servers: Sequence[McpServer]) -> tuple[str, ...]:
    """
    What a sandbox must show for these to start: npx, and commands that PATH can have.

    Never a command that is a path: a tenant would choose what of the machine is shown.
    """
    if not any(server.package or server.command for server in servers):
        return ()
    named = {server.command for server in servers if server.command and "/" not in server.command}
    return ("npx", *sorted(named))


def claude_config(servers: Sequence[McpServer], which: Which) -> bytes:
    """
    For Claude Code's `--mcp-config`.

    It puts variables of its environment, our credentials among them, in the place of `${NAME}`
    anywhere in the file. What a tenant wrote is to arrive as it was written: the dollar itself
    comes out of a variable that is not set.
    """
    return _encode({server.name: _claude_server(server, which) for server in servers})


def demo_config(servers: Sequence[McpServer], which: Which) -> bytes:
    """For the demo agent, which reads the names and starts none of them."""
    return _encode({server.name: _program(server, which) or server.url for server in servers})


def _claude_server(server: McpServer, which: Which) -> Json:
    if server.url is not None:
        headers = {name: _literal(value) for name, value in server.headers.items()}
        return {"type": "http", "url": _literal(server.url), "headers": headers}
    command, *args = _program(server, which)
    return {
        "type": "stdio",
        "command": _literal(command),
        "args": [_literal(arg) for arg in args],
        "env": {name: _literal(value) for name, value in server.env.items()},
    }


def _program(server: McpServer, which: Which) -> list[str]:
    """
    What to start. A command that is no path and not on PATH is an npm package, as the first version
    of the API meant every command.
    """
    package = server.package
    if package is None and server.command is not None:
        is_path = "/" in server.command and not server.command.startswith("@")
        if is_path or which(server.command) is not None:
            return [server.command, *server.args]
        package = server.command
    return ["npx", "-y", package, *server.args] if package is not None else []


def _literal(text: str) -> str:
    return text.replace("${", _LITERAL_DOLLAR + "{")


def _encode(servers: Json) -> bytes:
    return json.dumps({"mcpServers": servers}).encode()
