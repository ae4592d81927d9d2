"""
`codeforge workspaces ...`: list and clean, on the disks of all homes.

Cleaning removes directories of agents, never what is recorded of their work: a follow-up to a
cleaned task begins a little later, from what was recorded.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console

from codeforge import render
from codeforge.client import ApiError, Client, Document
from codeforge.console import AsJson, Token, Url, complain, connected, output
from internal.clock import SystemClock

app = typer.Typer(no_args_is_help=True)

_IDLE = {"completed", "failed", "pr_created", "unknown"}
_GONE_MEANWHILE = {404, 409}


@app.command("list")
def list_workspaces(url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """Show them, the one used last first."""
    with connected(url, token) as client:
        document = client.workspaces()

        def show_all(console: Console) -> None:
            for workspace in document["workspaces"]:
                render.workspace_line(console, workspace)
            count, size = document["total_count"], document["total_size_mb"]
            console.print(f"{count} of {size:.1f} MiB together", highlight=False)

        output(document, as_json, show_all)
        _complain_of_silence(document)


@app.command()
def clean(
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="[TASK]...", help="Only of these tasks.")
    ] = None,
    unused: Annotated[
        float, typer.Option(metavar="HOURS", min=0, help="Only what was not used for so long.")
    ] = 0,
    url: Url = None,
    token: Token = None,
) -> None:
    """Remove those of finished tasks; prints the tasks."""
    with connected(url, token) as client:
        if tasks:
            for task in tasks:
                client.delete_workspace(task)
                print(task)
            return
        document = client.workspaces()
        since = SystemClock().now() - timedelta(hours=unused)
        for workspace in document["workspaces"]:
            if _is_idle(workspace, since) and _remove(client, workspace["task_id"]):
                print(workspace["task_id"])
        _complain_of_silence(document)


def _is_idle(workspace: Document, since: datetime) -> bool:
    used_at = datetime.fromisoformat(workspace["last_used_at"])
    return workspace["task_status"] in _IDLE and used_at <= since


def _remove(client: Client, task: str) -> bool:
    """Whether it went; a follow-up or somebody else may have been faster."""
    try:
        client.delete_workspace(task)
    except ApiError as error:
        if error.status not in _GONE_MEANWHILE:
            raise
        return False
    return True


def _complain_of_silence(document: Document) -> None:
    for home in document["unreachable"]:
        complain(f"home {home} did not answer; what it holds is not shown")
