"""What an attempt has used, whatever its agent says of it, and however often it changes that."""

from __future__ import annotations

import math

import pytest

from internal.agent.model import NO_USAGE, AgentEvent, EventKind, Usage
from internal.control.prices import read_prices
from internal.worker.meter import Meter
from internal.worker.toolclock import ToolClock

PRICES = read_prices("""
[[lists]]
as_of = "2026-01-02"
models = [{ pattern = "m", input = 1, output = 10, cache_read = 0.1, cache_write = 2 }]
""")
_MILLION = 1_000_000


def used(*told: Usage) -> Usage:
    meter = Meter(PRICES)
    for usage in told:
        meter.note(usage)
    return meter.usage


def test_tokens_without_a_price_of_their_agent_are_priced_by_the_table() -> None:
    """Each kind at its price."""
    usage = Usage(input_tokens=_MILLION, output_tokens=_MILLION, model="m")

    assert used(usage).cost_usd == 11
    assert used(usage).unpriced_tokens == 0


def test_an_agents_own_price_wins_over_our_estimate() -> None:
    """It covers what was used until then; what comes behind it is estimated again."""
    before = Usage(input_tokens=_MILLION, model="m")
    settled = Usage(input_tokens=_MILLION, cost_usd=0.4, model="m")
    after = Usage(input_tokens=3 * _MILLION, cost_usd=0.4, model="m")

    assert used(before).cost_usd == 1
    assert used(before, settled).cost_usd == 0.4
    assert used(before, settled, after).cost_usd == 2.4


def test_what_no_table_knows_is_unpriced_and_not_free() -> None:
    """All kinds of its tokens; a price that its agent tells later covers them."""
    usage = Usage(input_tokens=5, cache_read_tokens=7, model="new")

    assert used(usage).unpriced_tokens == 12
    assert used(usage, Usage(input_tokens=5, cost_usd=1, model="new")).unpriced_tokens == 0


@pytest.mark.parametrize("value", [-5, 0, math.nan, -math.inf])
def test_an_agent_that_lies_takes_nothing_back(value: float) -> None:
    """Negative, nothing, no number: what it told before stands."""
    honest = Usage(input_tokens=10, output_tokens=10, cost_usd=1, turns=2, model="m")
    lie = Usage(
        input_tokens=value,  # type: ignore[arg-type]  # as a broken program says it
        cost_usd=value,
        turns=value,  # type: ignore[arg-type]  # likewise
        model="m",
    )

    assert used(honest, lie) == honest


def test_what_is_beyond_all_bounds_is_bounded() -> None:
    """A counter in Redis takes no more."""
    usage = used(Usage(input_tokens=10**40, cost_usd=math.inf, model="m"))

    assert usage.input_tokens == 10**12
    assert usage.cost_usd == 10**12


def test_another_process_of_the_attempt_counts_on() -> None:
    """Its numbers begin at zero; those of the first are not lost."""
    meter = Meter(PRICES)
    meter.begin()
    meter.note(Usage(output_tokens=3, cost_usd=1, turns=1, model="m"))
    meter.begin()
    meter.note(Usage(output_tokens=2, cost_usd=0.5, turns=1, model="m"))

    assert meter.usage == Usage(output_tokens=5, cost_usd=1.5, turns=2, model="m")
    assert Meter(PRICES).usage == NO_USAGE


def _event(kind: EventKind, call: object = None) -> AgentEvent:
    return AgentEvent(kind=kind, data={"id": call})


def test_the_oldest_open_call_counts() -> None:
    """Until its result comes; the end of a turn ends what never got one."""
    now = 0.0
    clock = ToolClock(lambda: now)
    clock.see(_event(EventKind.TOOL_USE, "a"))
    now = 5.0
    clock.see(_event(EventKind.TOOL_USE, "b"))
    now = 7.0

    assert clock.longest() == 7
    clock.see(_event(EventKind.TOOL_RESULT, "a"))
    assert clock.longest() == 2
    clock.see(_event(EventKind.RESULT))
    assert clock.longest() == 0


@pytest.mark.parametrize("call", [None, 7, "", "x" * 10_000])
def test_a_call_without_a_proper_id_is_not_timed(call: object) -> None:
    """Its result could not be told from another's."""
    now = 0.0
    clock = ToolClock(lambda: now)
    clock.see(_event(EventKind.TOOL_USE, call))
    now = 9.0

    assert clock.longest() == 0
