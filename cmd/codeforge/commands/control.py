"""`codeforge control ...`: what holds runs back, and letting them go on."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from codeforge import render
from codeforge.console import AsJson, Token, Url, connected, output

app = typer.Typer(no_args_is_help=True)


@app.command()
def show(url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """Show gates, breakers, budgets and escalations, and whether new work is taken."""
    with connected(url, token) as client:
        document = client.control()

        def show_all(console: Console) -> None:
            for gate in document["gates"]:
                render.gate_line(console, gate)
            for breaker in document["breakers"]:
                render.breaker_line(console, breaker)
            for budget in document["budgets"]:
                render.budget_line(console, budget)
            for escalated in document["escalations"]:
                render.escalation_line(console, escalated)
            render.pressure_line(console, document["pressure"])

        output(document, as_json, show_all)


@app.command()
def release(
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help="Its key, as `show` has it.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Open what is shut; what waits there goes on within a second."""
    with connected(url, token) as client:
        client.release(scope)
