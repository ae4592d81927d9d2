"""
`codeforge doctor`: what keeps CodeForge from working here, and what to do about it.

Exit codes: 0 nothing does (there may be warnings), 1 something does.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from codeforge.checks.finding import Finding, Level, fail
from codeforge.checks.host import check_directory, check_platform, check_python
from codeforge.checks.programs import check_agents, check_git, check_isolation
from codeforge.checks.redis import check_redis
from codeforge.checks.secrets import check_policies, check_secrets
from codeforge.checks.tracing import check_tracing
from internal.config.error import SettingsError
from internal.config.load import Loaded, load_settings

app = typer.Typer()

_MARKS = {
    Level.OK: ("✓", "green"),
    Level.WARN: ("!", "yellow"),
    Level.FAIL: ("✗", "bold red"),
}


@app.command()
def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check this machine and its settings, and say what to fix."""
    found = asyncio.run(examine())
    healthy = all(finding.level is not Level.FAIL for finding in found)
    if as_json:
        checks = [asdict(finding) for finding in found]
        print(json.dumps({"ok": healthy, "checks": checks}, ensure_ascii=False))
    else:
        _show(Console(highlight=False), found)
    raise typer.Exit(0 if healthy else 1)


async def examine() -> list[Finding]:
    """Everything that was looked at, in the order of the report."""
    found = [check_platform(), check_python(), await check_git(os.environ)]
    try:
        loaded = load_settings(os.environ, Path.cwd())
    except SettingsError as error:
        advice = "Correct it; the rest was not looked at. See docs/configuration.md."
        return found + [fail(path, problem, advice) for path, problem in error.fields.items()]
    return found + await _examine_settings(loaded)


async def _examine_settings(loaded: Loaded) -> list[Finding]:
    settings = loaded.settings
    return [
        *check_policies(loaded),
        *check_secrets(settings),
        check_directory("data_dir", settings.data_dir),
        check_directory("tasks.workspace_base", settings.tasks.workspace_base),
        await check_redis(settings),
        *await check_agents(settings, os.environ),
        await check_isolation(settings),
        *await check_tracing(settings, os.environ),
    ]


def _show(console: Console, found: list[Finding]) -> None:
    width = max(len(finding.name) for finding in found)
    for finding in found:
        mark, style = _MARKS[finding.level]
        name = f"{finding.name:<{width}}  "
        line = Text.assemble((f"{mark} {finding.level:<5}", style), name, finding.message)
        console.print(line, soft_wrap=True)
        if finding.advice:
            console.print(
                Text(f"  {'':<5}{'':<{width}}  {finding.advice}", style="dim"), soft_wrap=True
            )
