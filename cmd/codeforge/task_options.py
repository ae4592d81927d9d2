"""
What the command line can say of a task: the options, and what they become in the API's body.

An option that was not given is left out of the body, so the server's default holds.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Id of the task.")]
Repo = Annotated[str, typer.Argument(metavar="REPO", help="Repository to work on.")]
Prompt = Annotated[
    str, typer.Argument(metavar="PROMPT", help="What to do; `-` reads standard input.")
]
FollowUp = Annotated[
    str, typer.Argument(metavar="PROMPT", help="The follow-up; `-` reads standard input.")
]
Text = Annotated[str, typer.Argument(metavar="TEXT", help="What to say; `-` reads standard input.")]

Agent = Annotated[str | None, typer.Option(help="Agent CLI to run.")]
Model = Annotated[str | None, typer.Option(help="Model of the agent.")]
StartFrom = Annotated[str | None, typer.Option(help="Branch, tag or commit to start from.")]
Timeout = Annotated[int | None, typer.Option(help="Seconds the run may take.")]
MaxUsd = Annotated[float | None, typer.Option(help="US dollars the whole task may cost.")]
MaxTokens = Annotated[int | None, typer.Option(help="Tokens the whole task may use.")]
Silence = Annotated[int | None, typer.Option(help="Seconds the agent may say nothing.")]
ToolSeconds = Annotated[int | None, typer.Option(help="Seconds one call of a tool may take.")]
MaxTurns = Annotated[int | None, typer.Option(help="Turns of the agent in one run.")]
Retries = Annotated[
    int | None, typer.Option(help="Times a run whose agent failed is repeated (0 to 5).")
]
CreatePr = Annotated[bool, typer.Option("--create-pr", help="Publish what completes with changes.")]

Priority = Annotated[str | None, typer.Option(help="low, normal or high.")]
CallbackUrl = Annotated[str | None, typer.Option(help="Webhook called at the end.")]
Label = Annotated[list[str] | None, typer.Option(help="key=value; repeatable.")]
IdempotencyKey = Annotated[str | None, typer.Option(help="Makes a repeat safe.")]
ProviderKey = Annotated[str | None, typer.Option(help="Registered key for the repository's host.")]
Dedup = Annotated[
    str | None, typer.Option(metavar="POLICY:KEY", help="coalesce, latest_wins or reject.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show its steps until it ends.")]


def text_of(argument: str) -> str:
    """The text itself, or what standard input has."""
    return sys.stdin.read() if argument == "-" else argument


def labels_of(label: list[str] | None) -> dict[str, str] | None:
    """Raises BadParameter for what is not `key=value`."""
    return dict(_pair(text) for text in label) if label else None


def dedup_of(dedup: str | None) -> dict[str, str] | None:
    """The key may have colons of its own."""
    if not dedup:
        return None
    policy, _, key = dedup.partition(":")
    return {"policy": policy, "key": key}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not key=value", param_hint="--label")
    return name, value
