"""
`codeforge demo`: a task from request to result on this machine, with everything embedded.

Exit codes: 0 all of it worked, 1 something did not, 130 and 143 when a signal ended it before.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from codeforge import __version__, runtime
from codeforge.client import ApiError, Unreachable
from codeforge.demo_deployment import DemoDeployment, open_demo
from codeforge.demo_repository import DemoFailed
from codeforge.demo_story import start_story
from internal.agent import catalog
from internal.errors import CodeforgeError

app = typer.Typer()

Document = dict[str, Any]

_PAGES = "README.md, docs/configuration.md, docs/operations.md"


class DemoAgent(StrEnum):
    """The agents that the demo has a story for."""

    DEMO = "demo"
    CLAUDE_CODE = "claude-code"


@app.command()
def demo(
    agent: Annotated[DemoAgent, typer.Option(help="Who does the work.")] = DemoAgent.DEMO,
) -> None:
    """Show one task from request to result, with everything embedded."""
    console = Console(highlight=False)
    try:
        runtime.run(_demo(console, agent))
    except (DemoFailed, CodeforgeError, ApiError, Unreachable, OSError) as error:
        told = Text(f"The demo failed: {error}", style="bold red")
        Console(stderr=True).print(told, soft_wrap=True)
        raise typer.Exit(1) from error


async def _demo(console: Console, agent: DemoAgent) -> None:
    began = time.monotonic()
    if sys.platform != "linux":
        raise DemoFailed("Workers need Linux; use a virtual machine or a container.")
    signals = _Signals()
    await _check_agent(agent)
    console.print(Text(f"CodeForge {__version__}", style="bold"))
    async with open_demo(os.environ) as deployment:
        signals.kill = deployment.supervisor.kill
        story = start_story(console, deployment, agent)
        either: set[asyncio.Future[Any]] = {story, signals.first}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not story.done():
            console.quiet = True  # its thread ends with the process
            story.cancel()
        else:
            _summary(console, story.result(), seconds=time.monotonic() - began)
            if sys.stdout.isatty():
                _say_where(console, deployment)
                await signals.first
            else:
                _say_how_to_go_on(console)
    if story.cancelled():
        raise typer.Exit(128 + signals.first.result())


class _Signals:
    """SIGINT and SIGTERM: `first` is the number of the first; each further one calls `kill`."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.first: asyncio.Future[int] = loop.create_future()
        self.kill: Callable[[], None] = lambda: None
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._come, number)

    def _come(self, number: int) -> None:
        if self.first.done():
            self.kill()
        else:
            self.first.set_result(number)


async def _check_agent(agent: DemoAgent) -> None:
    """Raise DemoFailed when *agent* is not installed, or has no credential to work with."""
    driver = catalog.AVAILABLE[agent]
    configured = os.environ.get(f"CODEFORGE_CLI__{agent.name}__PATH")
    probe = await driver.probe(configured, os.environ)
    if not probe.available:
        raise DemoFailed(f"{agent} is not installed: {probe.reason}.")
    names = driver.credential_names
    if names and not any(os.environ.get(name) for name in names):
        raise DemoFailed(f"{agent} has no credential: set one of {', '.join(names)}.")


def _summary(console: Console, task: Document, *, seconds: float) -> None:
    usage = task["usage_total"]
    rows = {
        "task": task["id"],
        "status": task["status"],
        "iterations": str(task["iteration"]),
        "changes": task["changes_summary"]["diff_stats"],
        "tokens": f"{usage['input_tokens']} in, {usage['output_tokens']} out",
        "webhooks": "one for each iteration, both signatures verified",
        "seconds": f"{seconds:.1f}",
    }
    _table(console, "Summary", rows)


def _say_where(console: Console, deployment: DemoDeployment) -> None:
    rows = {
        "API": f"{deployment.url}/api/docs",
        "token": str(deployment.token_file),
        "try": f"CODEFORGE_DATA_DIR={deployment.data_dir} {sys.argv[0]} task list",
        "read": _PAGES,
        "end": "Ctrl-C",
    }
    _table(console, "It stays up", rows)


def _say_how_to_go_on(console: Console) -> None:
    rows = {"run it": f"{sys.argv[0]} up", "check": f"{sys.argv[0]} doctor", "read": _PAGES}
    _table(console, "Where to go from here", rows)


def _table(console: Console, title: str, rows: Mapping[str, str]) -> None:
    console.print(Text(f"\n▸ {title}", style="bold"))
    for name, value in rows.items():
        style = "bold green" if name == "status" else ""
        line = Text.assemble((f"  {name:<12}", "dim"), (value, style))
        console.print(line, soft_wrap=True)
