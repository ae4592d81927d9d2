"""
The command line: a table of command modules, each loaded when it is used.

The module `codeforge.commands.<name>` (with `_` for `-`) has a `typer.Typer()` called `app`, with
one command (then the module is the command) or several (then it is a group). Loading all of them
would cost half a second, and more memory than a server needs.

Exit codes: 0 done; 1 the task failed, or something is wrong; 2 wrong usage, or a refused request;
3 no such task, or the wrong state; 4 no server; 130 interrupted.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_COMMANDS = {
    "up": "Run everything on this machine until Ctrl-C.",
    "serve": "Run the HTTP server.",
    "worker": "Run agents.",
    "demo": "Show one task from request to result, with everything embedded.",
    "doctor": "Check this machine and its settings, and say what to fix.",
    "task": "Submit tasks and follow them.",
    "dead-letters": "See what nothing repeats any more; requeue or discard it.",
    "webhooks": "Register webhook endpoints and look at deliveries.",
    "keys": "Register keys for git hosts and models, and change the master key.",
    "tokens": "Make and revoke API tokens, and see what was done with them.",
    "mcp": "Register MCP servers that agents are given.",
    "workspaces": "See and remove the directories agents work in.",
    "control": "See what holds runs back, and let them go on.",
    "config": "Look at the settings.",
    "version": "Print the version.",
}


class _Commands(TyperGroup):
    """Lists the table, and loads a command's module when it is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        listed = {name: TyperCommand(name, help=text) for name, text in _COMMANDS.items()}
        self.commands = {**self.commands, **listed}

    def resolve_command(
        self, ctx: Any, args: list[str]
    ) -> tuple[str | None, Any, list[str]]:  # typer's own classes for these are private
        name, *rest = args
        if name not in _COMMANDS:
            return super().resolve_command(ctx, args)  # says what was meant
        module = import_module(f"codeforge.commands.{name.replace('-', '_')}")
        command = typer.main.get_command(module.app)
        command.help = _COMMANDS[name]
        command.params = [p for p in command.params if not str(p.name).endswith("_completion")]
        return name, command, rest


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="AI coding agents on git repositories, as a service.",
)


@app.callback()
def _root() -> None:
    """AI coding agents on git repositories, as a service."""
