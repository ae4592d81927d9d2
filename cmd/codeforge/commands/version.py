"""`codeforge version`."""

from __future__ import annotations

import typer

from codeforge import __version__

app = typer.Typer()


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)
