"""What tokens cost by the table, and that nobody guesses where there is no row."""

from __future__ import annotations

from datetime import date

import pytest

from internal.control.prices import Tokens, builtin_prices, read_prices
from internal.errors import Invalid

_TABLE = """
[[lists]]
source = "a page"
as_of = "2026-01-02"
models = [
  { pattern = "big-1-5*", input = 1, output = 2, cache_read = 0.5, cache_write = 4 },
  { pattern = "big-1*", input = 10, output = 20, cache_read = 5, cache_write = 40 },
]
"""
_MILLION = 1_000_000


def test_each_kind_of_token_has_its_price() -> None:
    """USD per million of input, output, cache read, cache write."""
    prices = read_prices(_TABLE)

    each = [Tokens(*(_MILLION if kind == at else 0 for kind in range(4))) for at in range(4)]

    assert [prices.cost("big-1-0", tokens) for tokens in each] == [10, 20, 5, 40]
    assert prices.cost("big-1-5-20260101", Tokens(input=_MILLION)) == 1
    assert prices.as_of == date(2026, 1, 2)


@pytest.mark.parametrize("model", ["BIG-1", "maker/big-1", "eu.maker.big-1-v2:0", "big-1[1m]"])
def test_a_model_is_known_by_the_names_that_gateways_give_it(model: str) -> None:
    """A provider in front, a version behind."""
    assert read_prices(_TABLE).cost(model, Tokens(input=_MILLION)) == 10


@pytest.mark.parametrize("model", [None, "", "mybig-1", "huge", "x" * 100_000])
def test_an_unknown_model_has_no_price(model: str | None) -> None:
    """Its tokens are counted as unpriced; a guess would look like a fact."""
    assert read_prices(_TABLE).cost(model, Tokens(input=_MILLION)) is None


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("claude-opus-5-5", 4),
        ("claude-opus-5", 5),
        ("claude-opus-4-8[1m]", 5),
        ("claude-opus-4-1-20250805", 15),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3),
        ("claude-haiku-4-5-20251001", 1),
        ("gpt-5.2-codex", 1.75),
        ("demo", 0),
    ],
)
def test_the_table_that_comes_along_knows_current_models(model: str, usd: float) -> None:
    """As their makers publish it; the day is with each list."""
    assert builtin_prices().cost(model, Tokens(input=_MILLION)) == usd


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not toml",
        '[[lists]]\nas_of = "some day"\nmodels = []\n[[lists]]\nmodels = [1]',
        _TABLE.replace("cache_read", "cached"),
        _TABLE.replace("2026-01-02", "soon"),
        _TABLE.replace("= 10,", "= -10,"),
        _TABLE.replace("= 10,", "= nan,"),
    ],
)
def test_a_broken_table_is_refused_as_a_whole(text: str) -> None:
    """A worker without prices would count nothing."""
    with pytest.raises(Invalid, match="table of prices"):
        read_prices(text)
