"""
A line of agent output as JSON, and typed looks into it that never raise.

Agents print garbage, and what they print goes on into Redis and to viewers as JSON. So what
strict JSON cannot carry (NaN, infinities, endless nesting) counts as no JSON here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import NoReturn, cast

from internal.agent.model import AgentEvent, EventKind, Json

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def decode(line: bytes) -> Json | None:
    """The object on *line*, or None when there is none."""
    try:
        value = _DECODER.decode(line.decode())
    except (ValueError, RecursionError):  # not UTF-8, not JSON, a number too long, nested too deep
        return None
    return cast(Json, value) if isinstance(value, dict) else None


def unreadable(line: bytes) -> AgentEvent:
    """The event for a line that is no JSON object: its text, and the line as `raw`."""
    text = line.decode(errors="replace")
    return AgentEvent(kind=EventKind.SYSTEM, data={"text": text}, raw=text)


def as_object(value: object) -> Json:
    """*value* when it is an object, else an empty one."""
    return cast(Json, value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """*value* when it is a list, else an empty one."""
    return list(cast(Iterable[object], value)) if isinstance(value, list) else []


def as_text(value: object) -> str:
    """*value* when it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def as_count(value: object) -> int:
    """*value* as an amount: a whole number from 0 on, 0 for anything else."""
    return int(as_amount(value))


def as_amount(value: object) -> float:
    """*value* as an amount: a finite number from 0 on, 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return value if 0 <= value < 1e15 else 0  # beyond it, somebody counts nonsense


def as_session_id(value: object) -> str | None:
    """
    *value* when it can be a session's id.

    It comes back as an argument of the CLI and as part of a file name, so it is checked here.
    """
    return value if isinstance(value, str) and _SESSION_ID.fullmatch(value) else None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond all bounds")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)
