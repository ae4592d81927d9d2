"""
To ask for a run of a task on the command line, and to see its steps until it ends.

The events of what ran before are not shown again: a run's own come behind the number that was the
last one when it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console

from codeforge.client import Client
from codeforge.console import EXIT_FAILED, output, print_json
from codeforge.render_events import event_line


def begin(
    client: Client, task: str, ask: Callable[[str], dict[str, Any]], *, follow: bool, as_json: bool
) -> None:
    """*ask* for another run of *task*; show its steps, or the state it is in now."""
    seen = _last_event(client, task) if follow else 0
    answer = ask(task)
    if follow:
        show_steps(client, task, after=seen, as_json=as_json)
    else:
        say_state(answer, as_json)


def show_steps(client: Client, task: str, *, after: int = 0, as_json: bool) -> None:
    """
    Each event behind number *after*, until the task ends.

    Raises:
        Exit: with EXIT_FAILED, when it has failed.
    """
    console = Console()
    for event in client.follow(task, after=after):
        if as_json:
            print_json(event)
        else:
            event_line(console, event)
    document = client.get(task)
    if document["status"] == "failed":
        raise typer.Exit(EXIT_FAILED)


def say_state(answer: dict[str, Any], as_json: bool) -> None:
    """Print the state that an answer names."""
    output(answer, as_json, lambda console: console.print(answer["status"], highlight=False))


def _last_event(client: Client, task: str) -> int:
    """The number behind which a follow-up's events will come."""
    last = 0
    while True:
        page = client.events(task, after=last, limit=1000)
        if page["next"] is None:
            return last
        last = int(page["next"])
