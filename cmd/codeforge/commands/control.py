"""`codeforge control ...`: what holds runs back, and letting them go on."""

from __future__ import annotations

from typing import Annotated

import typer

from codeforge import render
from codeforge.console import AsJson, Token, Url, connected, output

app = typer.Typer(no_args_is_help=True)


@app.command()
def show(url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """Show gates, breakers, budgets and escalations, and whether new work is taken."""
    with connected(url, token) as client:
        document = client.control()
        output(document, as_json, lambda console: render.control_page(console, document))


@app.command()
def release(
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help="Its key, as `show` has it.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Open what is shut; what waits there goes on within a second."""
    with connected(url, token) as client:
        client.release(scope)
