"""
Arithmetic of usage. Pure.

The numbers are an agent's, and what runs inside an agent can print in its place: so they are made
harmless before they are added to anything that is kept.
"""

from __future__ import annotations

from internal.agent.model import Usage

_MOST = 1e12
"""More than any run uses, and far from what a counter holds."""


def sane(usage: Usage) -> Usage:
    """*usage* without what a counter does not take: NaN, what is negative, what would overflow."""
    return Usage(
        input_tokens=_whole(usage.input_tokens),
        output_tokens=_whole(usage.output_tokens),
        cache_read_tokens=_whole(usage.cache_read_tokens),
        cache_creation_tokens=_whole(usage.cache_creation_tokens),
        cost_usd=_amount(usage.cost_usd),
        duration_seconds=_amount(usage.duration_seconds),
        turns=_whole(usage.turns),
        model=usage.model,
        unpriced_tokens=_whole(usage.unpriced_tokens),
    )


def added(total: Usage, usage: Usage) -> Usage:
    """Both together; the model is the later one's."""
    return Usage(
        input_tokens=total.input_tokens + usage.input_tokens,
        output_tokens=total.output_tokens + usage.output_tokens,
        cache_read_tokens=total.cache_read_tokens + usage.cache_read_tokens,
        cache_creation_tokens=total.cache_creation_tokens + usage.cache_creation_tokens,
        cost_usd=total.cost_usd + usage.cost_usd,
        duration_seconds=total.duration_seconds + usage.duration_seconds,
        turns=total.turns + usage.turns,
        model=usage.model or total.model,
        unpriced_tokens=total.unpriced_tokens + usage.unpriced_tokens,
    )


def budget_tokens(usage: Usage) -> int:
    """
    What counts against a budget of tokens: what was new to the model, and what it answered.

    Not what it read from a cache: the whole context is read again with every turn, so a limit
    would say how long a session is, not what it costs.
    """
    return usage.input_tokens + usage.output_tokens + usage.cache_creation_tokens


def _amount(value: object) -> float:
    if isinstance(value, int | float) and value > 0:
        return float(min(value, _MOST))
    return 0.0


def _whole(value: object) -> int:
    return int(_amount(value))
