"""The effective settings as people may see them: with their source, without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import SecretStr

from internal.config.load import Loaded
from internal.config.settings import Section, leaf
from internal.redact import MASK, mask_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One setting; `value` is fit for JSON."""

    path: str
    value: object
    source: str


def effective(loaded: Loaded) -> list[Row]:
    """Every setting, in the order of the documentation."""
    return [
        Row(path=path, value=_shown(leaf(loaded.settings, path), path), source=source)
        for path, source in loaded.sources.items()
    ]


def _shown(value: object, path: str) -> object:
    if isinstance(value, Section):
        value = value.model_dump(exclude_unset=True)
    match value:
        case SecretStr():
            return _shown_secret(value.get_secret_value(), path)
        case Path():
            return str(value)
        case str():
            return mask_url(value)
        case Mapping():
            members = cast("Mapping[str, object]", value)
            return {mask_url(name): _shown(member, path) for name, member in members.items()}
        case tuple():
            return [_shown(item, path) for item in cast("tuple[object, ...]", value)]
        case _:
            return value


def _shown_secret(secret: str, path: str) -> str:
    if path == "redis.url":  # names a place, which an operator wants to see
        return mask_url(secret)
    return MASK if secret else ""
