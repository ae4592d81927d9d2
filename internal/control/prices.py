"""
What tokens cost, for agents that tell tokens and no price, and for a run of which the price is not
known yet.

A dated table in a file, because prices change and software does not notice: a model that no row
knows has no price here, and its tokens are shown as unpriced instead of being guessed at. An
agent's own price always wins over this table.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import translate
from importlib import resources
from typing import Any, NamedTuple

from internal.errors import Invalid

_MILLION = 1_000_000
_MODEL_CHARACTERS = 256


class Tokens(NamedTuple):
    """Tokens by how they are charged."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """USD per million tokens for the models that `pattern` fits, as of a day."""

    pattern: re.Pattern[str]
    usd: tuple[float, ...]
    """In the order of `Tokens`."""
    as_of: date


class Prices:
    """A table of prices; the first row that fits a model counts."""

    def __init__(self, rows: Sequence[Price]) -> None:
        self._rows = tuple(rows)
        self._found: dict[str, Price | None] = {}

    @property
    def as_of(self) -> date | None:
        """The day of the newest row; None for an empty table."""
        return max((row.as_of for row in self._rows), default=None)

    def cost(self, model: str | None, tokens: Tokens) -> float | None:
        """USD for *tokens* of *model*, None when nobody knows what it costs."""
        row = self._find((model or "")[:_MODEL_CHARACTERS].lower())
        if row is None:
            return None
        return sum(usd * count for usd, count in zip(row.usd, tokens, strict=True)) / _MILLION

    def _find(self, model: str) -> Price | None:
        if model not in self._found:
            if len(self._found) > _MODEL_CHARACTERS:  # names are the agent's: no memory for a flood
                self._found.clear()
            fitting = (row for row in self._rows if row.pattern.match(model))
            self._found[model] = next(fitting, None)
        return self._found[model]


def builtin_prices() -> Prices:
    """The table that comes with this version."""
    file = resources.files("internal.control").joinpath("prices.toml")
    return read_prices(file.read_text(encoding="utf-8"))


def read_prices(text: str) -> Prices:
    """
    A table from TOML, of the form of `prices.toml`.

    Raises:
        Invalid: it is none; says where.
    """
    try:
        lists = tomllib.loads(text)["lists"]
        return Prices([_price(row, part["as_of"]) for part in lists for row in part["models"]])
    except KeyError as error:
        raise Invalid(f"The table of prices lacks {error}.") from error
    except (ValueError, TypeError) as error:
        raise Invalid(f"The table of prices is not valid: {error}.") from error


def _price(row: dict[str, Any], as_of: str) -> Price:
    usd = tuple(float(row[name]) for name in Tokens._fields)
    if not all(0 <= amount < _MILLION for amount in usd):
        raise ValueError(f"a price of {row['pattern']} is out of bounds")
    # Gateways put a provider in front, with a slash or a dot behind it.
    pattern = re.compile(r"(?:.*[/.])?" + translate(row["pattern"].lower()))
    return Price(pattern=pattern, usd=usd, as_of=date.fromisoformat(as_of))
