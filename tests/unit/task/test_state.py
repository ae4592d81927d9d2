"""The table of states: what may follow what, told once."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from internal.task.state import (
    CANCELLABLE,
    CLAIMED,
    FINISHED,
    TRANSITIONS,
    State,
    as_lua,
    may_follow,
)

PAGE = Path(__file__).parents[3] / "docs" / "state-machine.md"
ROW = re.compile(r"^\| ([a-z_]+) \| ([a-z_, ]+) \|$", re.MULTILINE)

states = st.sampled_from(State)


def test_the_page_shows_the_table() -> None:
    """docs/state-machine.md has every row of it, and no other."""
    shown = dict(ROW.findall(PAGE.read_text(encoding="utf-8")))
    shown.pop("from")

    assert {before: set(after.split(", ")) for before, after in shown.items()} == {
        before.value: {state.value for state in after} for before, after in TRANSITIONS.items()
    }


@given(before=states, after=states)
def test_the_scripts_get_the_same_table(before: State, after: State) -> None:
    """A step stands in the Lua text exactly when it is legal."""
    assert (f" {before}>{after} " in as_lua()) == may_follow(before, after)


def test_every_state_is_finished_or_can_be_cancelled() -> None:
    """Nothing is beyond a client's reach, and nothing is reached twice."""
    assert set(State) == FINISHED | CANCELLABLE
    assert not FINISHED & CANCELLABLE
    assert CLAIMED < CANCELLABLE


def test_a_claimed_state_can_always_be_given_back_and_failed() -> None:
    """A worker may stop or die at any moment."""
    for state in CLAIMED:
        assert may_follow(state, State.FAILED)
        assert may_follow(state, State.PENDING)
        assert may_follow(state, State.AWAITING_INSTRUCTION)


def test_nothing_finishes_twice_without_being_queued_in_between() -> None:
    """One finished state never follows another directly."""
    assert not [(a, b) for a in FINISHED for b in FINISHED if may_follow(a, b)]
