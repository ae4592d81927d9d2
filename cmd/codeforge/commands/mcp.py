"""
`codeforge mcp ...`: add, list, remove the MCP servers that agents are given.

The values of variables and headers are secrets as a rule: they are taken from the environment of
this command, by the name of a variable, and are never arguments.
"""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from rich.console import Console

from codeforge import render
from codeforge.console import AsJson, Token, Url, connected, output

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the server.")]
Project = Annotated[
    str | None, typer.Option(metavar="REPO", help="Of this repository alone.", show_default=False)
]


@app.command()
def add(  # noqa: PLR0917 -- options of a command, never called with positions
    name: Name,
    package: Annotated[str | None, typer.Option(help="npm package to start.")] = None,
    command: Annotated[str | None, typer.Option(help="Program to start.")] = None,
    arg: Annotated[list[str] | None, typer.Option(help="Its argument; repeatable.")] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Variable to pass on from here; repeatable."),
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="URL", help="Server to call instead.")] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VARIABLE", help="Header, its value in a variable; repeatable."),
    ] = None,
    project: Project = None,
    url: Url = None,
    token: Token = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Register a server, for all tasks or for those of one repository."""
    server: dict[str, Any] = {
        "name": name,
        "package": package,
        "command": command,
        "args": arg,
        "env": {variable: _value(variable, "--env") for variable in env or ()} or None,
        "url": at,
        "headers": dict(_header(text) for text in header or ()) or None,
    }
    given = {member: value for member, value in server.items() if value is not None}
    with connected(url, token) as client:
        answer = client.add_mcp_server(given, project=project)
        output(answer, as_json, lambda console: console.print(answer["name"], highlight=False))


@app.command("list")
def list_servers(
    project: Project = None, url: Url = None, token: Token = None, *, as_json: AsJson = False
) -> None:
    """Show those of all tasks, or of one repository, without values."""
    with connected(url, token) as client:
        document = client.mcp_servers(project=project)

        def show_all(console: Console) -> None:
            for server in document["servers"]:
                render.mcp_line(console, server)

        output(document, as_json, show_all)


@app.command()
def remove(name: Name, project: Project = None, url: Url = None, token: Token = None) -> None:
    """Remove a server; it counts from the next run on."""
    with connected(url, token) as client:
        client.remove_mcp_server(name, project=project)


def _header(text: str) -> tuple[str, str]:
    name, equals, variable = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not NAME=VARIABLE", param_hint="--header")
    return name, _value(variable, "--header")


def _value(variable: str, option: str) -> str:
    value = os.environ.get(variable)
    if value is None:
        raise typer.BadParameter(f"the variable {variable} is not set here", param_hint=option)
    return value
