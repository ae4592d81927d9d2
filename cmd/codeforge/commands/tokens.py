"""
`codeforge tokens ...`: add, list, revoke API tokens, and audit: who did what with them.

The text of a token is printed once, by `add`, alone on standard output, so a script can keep it.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from codeforge import render
from codeforge.console import AsJson, Token, Url, connected, output
from codeforge.life import Expires, end_of

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the token.")]
Tenant = Annotated[
    str | None, typer.Option(help="Another tenant; for administrators of `default`.")
]


@app.command()
def add(
    name: Name,
    *,
    scope: Annotated[str, typer.Option(help="read, tasks or admin.")] = "tasks",
    tenant: Tenant = None,
    expires: Expires = None,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Make a token; prints its text, this once."""
    request: dict[str, Any] = {"name": name, "scopes": [scope], "tenant": tenant}
    request["expires_at"] = end_of(expires)
    with connected(url, token) as client:
        made = client.add_token(request)
        output(
            made,
            as_json,
            lambda console: console.print(made["token"], soft_wrap=True, highlight=False),
        )


@app.command("list")
def list_tokens(
    tenant: Tenant = None, url: Url = None, token: Token = None, *, as_json: AsJson = False
) -> None:
    """Show the tokens of a tenant, without their text."""
    with connected(url, token) as client:
        document = client.tokens(tenant=tenant)

        def show_all(console: Console) -> None:
            for one in document["tokens"]:
                render.token_line(console, one)

        output(document, as_json, show_all)


@app.command()
def revoke(name: Name, tenant: Tenant = None, url: Url = None, token: Token = None) -> None:
    """End a token, within 5 s on every server."""
    with connected(url, token) as client:
        client.revoke_token(name, tenant=tenant)


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    tenant: Tenant = None,
    url: Url = None,
    token: Token = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show who did what, newest first."""
    with connected(url, token) as client:
        page = client.audit(limit=limit, tenant=tenant)

        def show_all(console: Console) -> None:
            for entry in page["entries"]:
                render.audit_line(console, entry)

        output(page, as_json, show_all)
