"""
The command line: a table of command modules, each loaded when it is used.

A module in `codeforge.commands` has a `typer.Typer()` called `app`, with one command (then the
module is the command) or several (then it is a group). Loading all of them costs half a second,
which `version` should not.

Exit codes: 0 done; 1 the task failed, or something is wrong; 2 wrong usage, or a refused request;
3 no such task, or the wrong state; 4 no server; 130 interrupted.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click
import typer
from typer.core import TyperGroup

_COMMANDS = ("up", "serve", "worker", "demo", "doctor", "task", "config", "version")


class _Lazy(TyperGroup):
    """Finds a command by importing its module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"codeforge.commands.{cmd_name}")
        return typer.main.get_command(module.app)


app = typer.Typer(
    cls=_Lazy,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="AI coding agents on git repositories, as a service.",
)


@app.callback()
def _root() -> None:
    """AI coding agents on git repositories, as a service."""


def main(argv: list[str] | None = None) -> Any:
    """Run one command; typer ends the process with its exit code."""
    return app(args=sys.argv[1:] if argv is None else argv, prog_name="codeforge")
