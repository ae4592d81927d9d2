"""
How a setting may be written: durations as numbers or `5s`, lists as lists, JSON or `a,b`.

The environment knows text only, so every kind of value has a form in text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints

_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(h|ms|m|s)")
_ORIGIN = re.compile(r"\*|https?://[^\s/?#@*]+", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def _seconds(value: object) -> object:
    """`1h30m` as 5400.0; numbers are left for pydantic to judge."""
    if not isinstance(value, str) or _NUMBER.fullmatch(text := value.strip()):
        return value
    if not _DURATION.fullmatch(text):
        raise ValueError("must be seconds, or a duration such as 90s, 10m or 1h30m")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(text))


def _items(value: object) -> object:
    """`a, b` and `["a", "b"]` as a list."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json(value, "a JSON array or names with commas between them")
    return [item for part in value.split(",") if (item := part.strip())]


def _members(value: object) -> object:
    """`{"a": "b"}` as a mapping."""
    return _json(value, "a JSON object") if isinstance(value, str) else value


def _json(text: str, expected: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"must be {expected}") from None


Seconds = Annotated[int, BeforeValidator(_seconds)]
"""Whole seconds."""

FractionalSeconds = Annotated[float, BeforeValidator(_seconds), Field(allow_inf_nan=False)]

Names = Annotated[tuple[str, ...], BeforeValidator(_items)]

SecretTexts = Annotated[tuple[SecretStr, ...], BeforeValidator(_items)]

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
VariableNames = Annotated[tuple[VariableName, ...], BeforeValidator(_items)]


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError("must be * or an origin: scheme, host and port, and no slash")
    origin = text.lower()
    scheme, _, _ = origin.partition(":")
    # A browser leaves the port of the scheme out.
    return origin.removesuffix({"https": ":443", "http": ":80"}.get(scheme, ""))


Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_items)]
"""Where web pages come from, as browsers write it: scheme, host and port, or `*` for anywhere."""

Listed = BeforeValidator(_items)
"""Marks a list that may also be written with commas."""

Table = BeforeValidator(_members)
"""Marks a mapping that may also be written as a JSON object."""


def flatten(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested *values* by their dotted paths; an empty mapping is a value."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{above}.{name}" if above else name
        if isinstance(value, Mapping) and value:
            flat |= flatten(cast("Mapping[str, Any]", value), path)
        else:
            flat[path] = value
    return flat
