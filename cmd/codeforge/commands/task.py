"""
`codeforge task ...`: submit, list, show, follow, instruct, directive, pause, resume, cancel,
retry, create-pr, pr, diff, delete.

Exit codes: 0 done (and, when it followed, the task completed), 1 the task failed, 2 wrong usage or
a refused request, 3 no such task or the wrong state, 4 no server.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from codeforge import render
from codeforge import task_options as options
from codeforge.console import AsJson, Token, Url, connected, output, print_json
from codeforge.following import begin, say_state, show_steps
from codeforge.task_options import TaskId
from codeforge.transport import given

app = typer.Typer(no_args_is_help=True)


@app.command()
def submit(  # noqa: PLR0917 -- options of a command, never called with positions
    repo_url: options.Repo,
    prompt: options.Prompt,
    agent: options.Agent = None,
    model: options.Model = None,
    branch: options.StartFrom = None,
    timeout: options.Timeout = None,
    priority: options.Priority = None,
    callback_url: options.CallbackUrl = None,
    label: options.Label = None,
    idempotency_key: options.IdempotencyKey = None,
    provider_key: options.ProviderKey = None,
    dedup: options.Dedup = None,
    *,
    create_pr: options.CreatePr = False,
    max_budget_usd: options.MaxUsd = None,
    max_tokens: options.MaxTokens = None,
    max_turns: options.MaxTurns = None,
    silence_seconds: options.Silence = None,
    tool_seconds: options.ToolSeconds = None,
    retries: options.Retries = None,
    follow: options.Follow = False,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Create a task."""
    request = given(
        repo_url=repo_url,
        prompt=options.text_of(prompt),
        config=given(
            cli=agent,
            ai_model=model,
            target_branch=branch,
            timeout_seconds=timeout,
            auto_create_pr=create_pr or None,
            max_budget_usd=max_budget_usd,
            max_tokens=max_tokens,
            max_turns=max_turns,
            silence_seconds=silence_seconds,
            tool_seconds=tool_seconds,
            retries=retries,
        ),
        priority=priority or None,
        callback_url=callback_url or None,
        provider_key=provider_key or None,
        labels=options.labels_of(label),
        dedup=options.dedup_of(dedup),
    )
    with connected(url, token) as client:
        made = client.submit(request, idempotency_key=idempotency_key)
        if follow:
            show_steps(client, made["id"], as_json=as_json)
        else:
            output(made, as_json, lambda console: console.print(made["id"], highlight=False))


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
        show_steps(client, task, after=after, as_json=as_json)


@app.command()
def instruct(
    task: TaskId,
    prompt: options.FollowUp,
    *,
    max_budget_usd: options.MaxUsd = None,
    max_tokens: options.MaxTokens = None,
    max_turns: options.MaxTurns = None,
    silence_seconds: options.Silence = None,
    tool_seconds: options.ToolSeconds = None,
    timeout: options.Timeout = None,
    follow: options.Follow = False,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Send a follow-up to a finished task; what it may use can be raised."""
    config = given(
        max_budget_usd=max_budget_usd,
        max_tokens=max_tokens,
        max_turns=max_turns,
        silence_seconds=silence_seconds,
        tool_seconds=tool_seconds,
        timeout_seconds=timeout,
    )
    with connected(url, token) as client:

        def instructed(known: str) -> dict[str, Any]:
            return client.instruct(known, options.text_of(prompt), config)

        begin(client, task, instructed, follow=follow, as_json=as_json)


@app.command()
def cancel(task: TaskId, url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """End a queued or running task."""
    with connected(url, token) as client:
        say_state(client.cancel(task), as_json)


@app.command()
def pause(task: TaskId, url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """Pause a queued or running task: its work and its session are kept."""
    with connected(url, token) as client:
        say_state(client.pause(task), as_json)


@app.command()
def directive(
    task: TaskId,
    text: options.Text,
    url: Url = None,
    token: Token = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say something to the agent of a task, while it runs or as its next instruction."""
    with connected(url, token) as client:
        answer = client.directive(task, options.text_of(text))
        delivery = answer["delivery"]
        output(answer, as_json, lambda console: console.print(delivery, highlight=False))


@app.command()
def resume(
    task: TaskId,
    *,
    follow: options.Follow = False,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Let a paused task go on."""
    with connected(url, token) as client:
        begin(client, task, client.resume, follow=follow, as_json=as_json)


@app.command()
def retry(
    task: TaskId,
    *,
    follow: options.Follow = False,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Run the failed iteration of a task again."""
    with connected(url, token) as client:
        begin(client, task, client.retry, follow=follow, as_json=as_json)


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
    chosen = given(
        title=title,
        description=description,
        target_branch=branch,
        draft=draft or None,
        labels=label or None,
        reviewers=reviewer or None,
    )
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
