"""
What one attempt has used, from what its agent tells and a table of prices. Pure.

Agents tell in different ways: some a price with each answer, some at the end, some never. The
agent's own price counts for the tokens it was told with; those behind it are priced by the table,
or counted as unpriced. What an agent has told is never taken back by a smaller number: a program
in its place could hand back what it has used.
"""

from __future__ import annotations

from dataclasses import replace

from internal.agent.model import NO_USAGE, Usage
from internal.agent.usage import added, sane
from internal.control.prices import Prices, Tokens


class Meter:
    """Of one attempt; an attempt may be several processes, each of which counts from zero."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._before: Usage = NO_USAGE
        self._told: Usage = NO_USAGE
        self._paid: Usage = NO_USAGE
        self._now: Usage = NO_USAGE

    @property
    def usage(self) -> Usage:
        """Of the whole attempt."""
        return self._now if self._before == NO_USAGE else added(self._before, self._now)

    def begin(self) -> None:
        """Another process of the attempt begins."""
        self._before = self.usage
        self._told, self._paid, self._now = NO_USAGE, NO_USAGE, NO_USAGE

    def note(self, told: Usage) -> None:
        """What the process says it has used since it began."""
        told = _at_least(self._told, sane(told))
        if told.cost_usd > self._told.cost_usd:
            self._paid = told
        self._told = told
        self._now = self._priced(told)

    def _priced(self, told: Usage) -> Usage:
        rest = Tokens(
            *(now - paid for now, paid in zip(_tokens(told), _tokens(self._paid), strict=True))
        )
        if not any(rest):
            return told
        cost = self._prices.cost(told.model, rest)
        if cost is None:
            return replace(told, unpriced_tokens=sum(rest))
        return replace(told, cost_usd=round(told.cost_usd + cost, 6))


def _at_least(before: Usage, told: Usage) -> Usage:
    return replace(
        told,
        input_tokens=max(before.input_tokens, told.input_tokens),
        output_tokens=max(before.output_tokens, told.output_tokens),
        cache_read_tokens=max(before.cache_read_tokens, told.cache_read_tokens),
        cache_creation_tokens=max(before.cache_creation_tokens, told.cache_creation_tokens),
        cost_usd=max(before.cost_usd, told.cost_usd),
        turns=max(before.turns, told.turns),
    )


def _tokens(usage: Usage) -> Tokens:
    return Tokens(
        input=usage.input_tokens,
        output=usage.output_tokens,
        cache_read=usage.cache_read_tokens,
        cache_write=usage.cache_creation_tokens,
    )
