"""`--expires 90d`: how long a key or a token lives, as a time of its end."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from internal.clock import SystemClock, rfc3339

Expires = Annotated[
    str | None, typer.Option(metavar="LIFE", help="How long it lives: 30m, 12h, 90d.")
]

_LIFE = re.compile(r"([1-9]\d{0,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def end_of(life: str | None) -> str | None:
    """The RFC 3339 time at which *life*, begun now, ends; None: no end. Raises BadParameter."""
    if life is None:
        return None
    parts = _LIFE.fullmatch(life)
    if parts is None:
        raise typer.BadParameter(f"{life!r} is not like 30m, 12h or 90d", param_hint="--expires")
    return rfc3339(SystemClock().now() + timedelta(**{_UNITS[parts[2]]: int(parts[1])}))
