"""
`codeforge task ...`: submit, list, show, follow, instruct, directive, pause, resume, cancel,
retry, create-pr, pr, diff, delete.

Exit codes: 0 done (and, when it followed, the task completed), 1 the task failed, 2 wrong usage or
a refused request, 3 no such task or the wrong state, 4 no server.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from codeforge import render
from codeforge.client import Client
from codeforge.console import EXIT_FAILED, AsJson, Token, Url, connected, output, print_json
from codeforge.render_events import event_line

app = typer.Typer(no_args_is_help=True)

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Id of the task.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show its steps until it ends.")]
Timeout = Annotated[int | None, typer.Option(help="Seconds the run may take.")]
MaxUsd = Annotated[float | None, typer.Option(help="US dollars the whole task may cost.")]
MaxTokens = Annotated[int | None, typer.Option(help="Tokens the whole task may use.")]
MaxTurns = Annotated[int | None, typer.Option(help="Turns of the agent in one run.")]


@app.command()
def submit(  # noqa: PLR0917 -- options of a command, never called with positions
    repo_url: Annotated[str, typer.Argument(metavar="REPO", help="Repository to work on.")],
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What to do; `-` reads standard input.")
    ],
    agent: Annotated[str | None, typer.Option(help="Agent CLI to run.")] = None,
    model: Annotated[str | None, typer.Option(help="Model of the agent.")] = None,
    branch: Annotated[str | None, typer.Option(help="Branch, tag or commit to start from.")] = None,
    timeout: Timeout = None,
    priority: Annotated[str | None, typer.Option(help="low, normal or high.")] = None,
    callback_url: Annotated[str | None, typer.Option(help="Webhook called at the end.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="key=value; repeatable.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Makes a repeat safe.")] = None,
    provider_key: Annotated[
        str | None, typer.Option(help="Registered key for the repository's host.")
    ] = None,
    dedup: Annotated[
        str | None, typer.Option(metavar="POLICY:KEY", help="coalesce, latest_wins or reject.")
    ] = None,
    *,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Publish what completes with changes.")
    ] = False,
    max_budget_usd: MaxUsd = None,
    max_tokens: MaxTokens = None,
    max_turns: MaxTurns = None,
    retries: Annotated[
        int | None, typer.Option(help="Times a run whose agent failed is repeated (0 to 5).")
    ] = None,
    follow: Follow = False,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Create a task."""
    config = {
        "cli": agent,
        "ai_model": model,
        "target_branch": branch,
        "timeout_seconds": timeout,
        "auto_create_pr": create_pr or None,
        "max_budget_usd": max_budget_usd,
        "max_tokens": max_tokens,
        "max_turns": max_turns,
        "retries": retries,
    }
    request: dict[str, Any] = {
        "repo_url": repo_url,
        "prompt": sys.stdin.read() if prompt == "-" else prompt,
        "config": {name: value for name, value in config.items() if value is not None},
    }
    if priority:
        request["priority"] = priority
    if callback_url:
        request["callback_url"] = callback_url
    if provider_key:
        request["provider_key"] = provider_key
    if label:
        request["labels"] = dict(_pair(text) for text in label)
    if dedup:
        policy, _, key = dedup.partition(":")
        request["dedup"] = {"policy": policy, "key": key}
    with connected(url, token) as client:
        made = client.submit(request, idempotency_key=idempotency_key)
        if not follow:
            output(made, as_json, lambda console: console.print(made["id"], highlight=False))
            return
        _follow(client, made["id"], as_json=as_json)


@app.command("list")
def list_tasks(
    status: Annotated[list[str] | None, typer.Option(help="Only this status; repeatable.")] = None,
    search: Annotated[str | None, typer.Option("-q", help="Text in prompt or repository.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    url: Url = None,
    token: Token = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show tasks, newest first."""
    filters: dict[str, str | int | list[str]] = {"limit": limit}
    if status:
        filters["status"] = status
    if search:
        filters["q"] = search
    with connected(url, token) as client:
        page = client.list(**filters)

        def show_all(console: Console) -> None:
            for task in page["tasks"]:
                render.task_line(console, task)

        output(page, as_json, show_all)


@app.command()
def show(task: TaskId, url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """Show one task."""
    with connected(url, token) as client:
        document = client.get(task, with_iterations=as_json)
        output(document, as_json, lambda console: render.task_page(console, document))


@app.command()
def follow(
    task: TaskId,
    after: Annotated[int, typer.Option(help="Only events behind this number.")] = 0,
    url: Url = None,
    token: Token = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the steps of a task until it ends."""
    with connected(url, token) as client:
        _follow(client, task, after=after, as_json=as_json)


@app.command()
def instruct(
    task: TaskId,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="The follow-up; `-` reads standard input.")
    ],
    *,
    max_budget_usd: MaxUsd = None,
    max_tokens: MaxTokens = None,
    max_turns: MaxTurns = None,
    timeout: Timeout = None,
    follow: Follow = False,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Send a follow-up to a finished task; what it may use can be raised."""
    limits: dict[str, float | None] = {
        "max_budget_usd": max_budget_usd,
        "max_tokens": max_tokens,
        "max_turns": max_turns,
        "timeout_seconds": timeout,
    }
    config = {name: value for name, value in limits.items() if value is not None}
    with connected(url, token) as client:

        def instructed(known: str) -> dict[str, Any]:
            said = sys.stdin.read() if prompt == "-" else prompt
            return client.instruct(known, said, config)

        _begin(client, task, instructed, follow=follow, as_json=as_json)


@app.command()
def cancel(task: TaskId, url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """End a queued or running task."""
    with connected(url, token) as client:
        _say_state(client.cancel(task), as_json)


@app.command()
def pause(task: TaskId, url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """Pause a queued or running task: its work and its session are kept."""
    with connected(url, token) as client:
        _say_state(client.pause(task), as_json)


@app.command()
def directive(
    task: TaskId,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="What to say; `-` reads standard input.")
    ],
    url: Url = None,
    token: Token = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say something to the agent of a task, while it runs or as its next instruction."""
    with connected(url, token) as client:
        answer = client.directive(task, sys.stdin.read() if text == "-" else text)
        said = answer["delivery"]
        output(answer, as_json, lambda console: console.print(said, highlight=False))


@app.command()
def resume(
    task: TaskId,
    *,
    follow: Follow = False,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Let a paused task go on."""
    with connected(url, token) as client:
        _begin(client, task, client.resume, follow=follow, as_json=as_json)


@app.command()
def retry(
    task: TaskId,
    *,
    follow: Follow = False,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Run the failed iteration of a task again."""
    with connected(url, token) as client:
        _begin(client, task, client.retry, follow=follow, as_json=as_json)


@app.command("create-pr")
def create_pr(  # noqa: PLR0917 -- options of a command, never called with positions
    task: TaskId,
    title: Annotated[str | None, typer.Option(help="Title; from the prompt by default.")] = None,
    description: Annotated[str | None, typer.Option(help="Description.")] = None,
    branch: Annotated[str | None, typer.Option(help="Branch to merge into.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    reviewer: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    *,
    draft: Annotated[bool, typer.Option("--draft", help="Not ready to be merged.")] = False,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Make, or bring up to date, the pull request of a finished task."""
    options = {
        "title": title,
        "description": description,
        "target_branch": branch,
        "draft": draft or None,
        "labels": label or None,
        "reviewers": reviewer or None,
    }
    chosen = {name: value for name, value in options.items() if value is not None}
    with connected(url, token) as client:
        answer = client.create_pr(task, **chosen)
        shown = answer.get("pr_url") or answer["status"]
        output(answer, as_json, lambda console: console.print(shown, highlight=False))


@app.command()
def pr(task: TaskId, url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """Show how the pull request of a task stands."""
    with connected(url, token) as client:
        found = client.pull_request(task)
        text = f"{found['state']}  {found['url']}"
        output(found, as_json, lambda console: console.print(text, highlight=False))


@app.command()
def diff(
    task: TaskId,
    iteration: Annotated[int | None, typer.Option(help="Up to the end of this one.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the patch to this file.")] = None,
    url: Url = None,
    token: Token = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Print the work as a patch for `git apply`."""
    with connected(url, token) as client:
        if as_json:
            print_json(client.diff(task, iteration=iteration))
            return
        patch = client.patch(task, iteration=iteration)
        if output is not None:
            output.write_bytes(patch)
        else:
            sys.stdout.buffer.write(patch)


@app.command()
def delete(task: TaskId, url: Url = None, token: Token = None) -> None:
    """Erase a finished task, its events and its work."""
    with connected(url, token) as client:
        client.delete(task)


def _begin(
    client: Client, task: str, ask: Callable[[str], dict[str, Any]], *, follow: bool, as_json: bool
) -> None:
    """*ask* for another run of *task*; show its steps, or the state it is in now."""
    seen = _last_event(client, task) if follow else 0
    answer = ask(task)
    if follow:
        _follow(client, task, after=seen, as_json=as_json)
    else:
        _say_state(answer, as_json)


def _follow(client: Client, task: str, *, after: int = 0, as_json: bool) -> None:
    console = Console()
    for event in client.follow(task, after=after):
        if as_json:
            print_json(event)
        else:
            event_line(console, event)
    document = client.get(task)
    if document["status"] == "failed":
        raise typer.Exit(EXIT_FAILED)


def _last_event(client: Client, task: str) -> int:
    """The number behind which a follow-up's events will come."""
    last = 0
    while True:
        page = client.events(task, after=last, limit=1000)
        if page["next"] is None:
            return last
        last = int(page["next"])


def _say_state(answer: dict[str, Any], as_json: bool) -> None:
    output(answer, as_json, lambda console: console.print(answer["status"], highlight=False))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not key=value", param_hint="--label")
    return name, value
