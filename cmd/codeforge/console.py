"""
What all commands that speak to a server share: its options, a client, exit codes, printing.

Exit codes: 0 done, 1 what was asked about failed, 2 wrong usage or a refused request, 3 no such
thing or the wrong state, 4 no server.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console

from codeforge.client import ApiError, Client, Unreachable
from codeforge.connection import open_client
from internal.errors import Unavailable

EXIT_FAILED, EXIT_REFUSED, EXIT_STATE, EXIT_UNREACHABLE = 1, 2, 3, 4

Url = Annotated[str | None, typer.Option(help="Address of the server.", show_default=False)]
Token = Annotated[str | None, typer.Option(help="API token.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]


@contextmanager
def connected(url: str | None, token: str | None) -> Generator[Client]:
    """A client whose errors become one line and an exit code."""
    try:
        with open_client(url, token) as client:
            yield client
    except ApiError as error:
        complain(*_lines(error))
        state = error.status in {404, 409, 410}
        raise typer.Exit(EXIT_STATE if state else EXIT_REFUSED) from error
    except (Unreachable, Unavailable) as error:
        complain(str(error))
        raise typer.Exit(EXIT_UNREACHABLE) from error


def output(document: dict[str, Any], as_json: bool, write: Callable[[Console], None]) -> None:
    """Print *document* as JSON, or let *write* print it for people."""
    if as_json:
        print_json(document)
    else:
        write(Console())


def print_json(document: dict[str, Any]) -> None:
    """One line."""
    print(json.dumps(document, ensure_ascii=False), flush=True)


def _lines(error: ApiError) -> list[str]:
    """The message, which names all fields; several of them on a line each."""
    head, colon, _ = str(error).partition(": ")
    if not colon or len(error.fields) < 2:
        return [str(error)]
    return [f"{head}:", *(f"  {name} {text}" for name, text in error.fields.items())]


def complain(*lines: str) -> None:
    """Say what is wrong, on standard error."""
    for line in lines:
        print(line, file=sys.stderr)
