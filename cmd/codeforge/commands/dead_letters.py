"""
`codeforge dead-letters ...`: list, show, requeue, discard.

`requeue` and `discard` take ids, or `--all` with a filter: then the newest 1,000 that match, and a
line says when there may be more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console

from codeforge import render
from codeforge.client import Client, Document
from codeforge.console import EXIT_STATE, AsJson, Token, Url, complain, connected, output

app = typer.Typer(no_args_is_help=True)

Letters = Annotated[list[str] | None, typer.Argument(metavar="[LETTER]...", help="Their ids.")]
Reason = Annotated[str | None, typer.Option(help="Only this reason, like worker_lost.")]
Agent = Annotated[str | None, typer.Option(help="Only of this agent.")]
Repository = Annotated[str | None, typer.Option("--repo", help="Only of this repository.")]
Since = Annotated[str | None, typer.Option(help="Only those that died since (RFC 3339).")]
All = Annotated[bool, typer.Option("--all", help="All that match the options.")]

_MOST, _PAGE = 1_000, 200


@app.command("list")
def list_letters(  # noqa: PLR0917 -- options of a command, never called with positions
    reason: Reason = None,
    agent: Agent = None,
    repo: Repository = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=_PAGE)] = 20,
    url: Url = None,
    token: Token = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show them, newest first."""
    with connected(url, token) as client:
        page = client.dead_letters(**_filter(reason, agent, repo, since), limit=limit)

        def show_all(console: Console) -> None:
            for letter in page["dead_letters"]:
                render.letter_line(console, letter)

        output(page, as_json, show_all)


@app.command()
def show(
    letter: Annotated[str, typer.Argument(metavar="LETTER", help="Its id, that of the task.")],
    url: Url = None,
    token: Token = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show one: its attempts, and the end of its log."""
    with connected(url, token) as client:
        found = _find(client, letter)
    if found is None:
        complain("There is no such dead letter.")
        raise typer.Exit(EXIT_STATE)
    output(found, as_json, lambda console: render.letter_page(console, found))


@app.command()
def requeue(  # noqa: PLR0917 -- options of a command, never called with positions
    letters: Letters = None,
    reason: Reason = None,
    agent: Agent = None,
    repo: Repository = None,
    since: Since = None,
    url: Url = None,
    token: Token = None,
    *,
    every: All = False,
) -> None:
    """Queue their runs again, with fresh lives; prints the tasks."""
    wanted = _filter(reason, agent, repo, since)
    _check(letters, wanted, every=every)
    with connected(url, token) as client:
        if every:
            _print_all(client.requeue_letters(**wanted, limit=_MOST), "requeued")
        _print_each(letters or [], client.requeue)


@app.command()
def discard(  # noqa: PLR0917 -- options of a command, never called with positions
    letters: Letters = None,
    reason: Reason = None,
    agent: Agent = None,
    repo: Repository = None,
    since: Since = None,
    url: Url = None,
    token: Token = None,
    *,
    every: All = False,
) -> None:
    """Take them out of the list; their tasks stay failed. Prints the tasks."""
    wanted = _filter(reason, agent, repo, since)
    _check(letters, wanted, every=every)
    with connected(url, token) as client:
        if every:
            _print_all(client.discard_letters(**wanted, limit=_MOST), "discarded")
        _print_each(letters or [], client.discard)


def _filter(
    reason: str | None, agent: str | None, repo: str | None, since: str | None
) -> dict[str, str | None]:
    return {"reason": reason, "agent": agent, "repo_url": repo, "since": since}


def _check(letters: list[str] | None, wanted: dict[str, str | None], *, every: bool) -> None:
    """Ids or `--all`, and a filter only with the latter: nothing is guessed."""
    if bool(letters) is every or (not every and any(wanted.values())):
        raise typer.BadParameter("give ids, or --all, which the options narrow")


def _find(client: Client, letter: str) -> Document | None:
    cursor: str | None = None
    while True:
        page = client.dead_letters(limit=_PAGE, cursor=cursor)
        for found in page["dead_letters"]:
            if found["id"] == letter:
                return dict(found)
        cursor = page["next_cursor"]
        if cursor is None:
            return None


def _print_each(letters: list[str], act: Callable[[str], Any]) -> None:
    for letter in letters:
        act(letter)
        print(letter)


def _print_all(handled: Document, done: str) -> None:
    for letter in handled[done]:
        print(letter)
    for letter in handled["skipped"]:
        complain(f"{letter} was no dead letter any more")
    if len(handled[done]) + len(handled["skipped"]) == _MOST:
        complain(f"These were {_MOST}; there may be more: repeat the command.")
