"""`codeforge config`: the settings as they are in effect."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated

import typer

from internal.config.load import load_settings
from internal.config.show import Row, effective

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look at the settings."""


@app.command()
def show(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print an array of JSON objects.")
    ] = False,
) -> None:
    """Print every setting with its value and where it is from; secrets are masked."""
    rows = effective(load_settings(os.environ, Path.cwd()))
    if as_json:
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
        return
    wide = max(len(row.path) for row in rows)
    for row in rows:
        print(f"{row.path:<{wide}} = {_text(row):<24} # {row.source}")


def _text(row: Row) -> str:
    return json.dumps(row.value, ensure_ascii=False)
