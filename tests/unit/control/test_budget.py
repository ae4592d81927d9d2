"""What a run may use: how each limit stands, what is used up, what is worth a warning."""

from __future__ import annotations

import pytest

from internal.control.budget import (
    Budget,
    Standing,
    Used,
    find_exceeded,
    find_used_up,
    standings,
    to_warn,
)


def test_a_budget_without_limits_has_nothing_to_stand() -> None:
    """None and 0 mean: as much as it likes."""
    assert standings(Budget(), Used(turns=9, tokens=9, usd=9, tool_seconds=9)) == ()
    assert standings(Budget(tool_seconds=0), Used(tool_seconds=9)) == ()


@pytest.mark.parametrize(
    ("used", "exceeded"),
    [
        (Used(usd=0.49, tokens=99, turns=3, tool_seconds=9.9), None),
        (Used(usd=0.5), "max_budget_usd"),
        (Used(tokens=100), "max_tokens"),
        (Used(turns=4), "max_turns"),
        (Used(tool_seconds=10.0), "tool_seconds"),
    ],
)
def test_a_limit_that_is_reached_is_exceeded(used: Used, exceeded: str | None) -> None:
    """A turn counts when it begins, so the last one allowed is no excess."""
    budget = Budget(max_budget_usd=0.5, max_tokens=100, max_turns=3, tool_seconds=10)

    found = find_exceeded(standings(budget, used))

    assert (found.budget if found else None) == exceeded


def test_a_warning_comes_from_a_share_on_and_when_all_is_used_at_once() -> None:
    """Whoever hears of the end has heard the warning."""
    rows = [
        Standing(budget=name, used=used, limit=10)
        for name, used in (("a", 7.9), ("b", 8), ("c", 10))
    ]

    assert [row.budget for row in to_warn(rows, 0.8)] == ["b", "c"]


def test_a_task_is_tighter_than_its_policy_never_looser() -> None:
    """But for the time of a tool, which is a default and no ceiling."""
    policy = Budget(max_budget_usd=1, max_tokens=50, tool_seconds=60, warn_share=0.5)
    own = Budget(max_budget_usd=5, max_tokens=20, max_turns=3, tool_seconds=90)

    assert policy.for_task(own) == Budget(
        max_budget_usd=1, max_tokens=20, max_turns=3, tool_seconds=90, warn_share=0.5
    )
    assert policy.for_task(Budget()) == policy


def test_only_what_is_of_the_whole_task_is_used_up_before_a_run() -> None:
    """Turns and tools begin anew with each."""
    budget = Budget(max_turns=1, max_tokens=10)

    assert find_used_up(budget, Used(turns=5, tokens=9)) is None
    assert find_used_up(budget, Used(tokens=10)) == Standing(budget="max_tokens", used=10, limit=10)


def test_weakness_execution_budget_nothing_that_was_used_is_given_back() -> None:
    """A budget counts what was measured, of all runs, and not the hints of those under way."""
    budget = Budget(max_budget_usd=1)

    ended = [find_used_up(budget, Used(usd=0.4 * runs)) is not None for runs in (1, 2, 3)]

    assert ended == [False, False, True]


@pytest.mark.parametrize(
    ("over", "told"),
    [
        (
            Standing(budget="max_tokens", used=1_200_345, limit=1_000_000),
            "used 1200345 of 1000000; instruct with a higher config.max_tokens",
        ),
        (
            Standing(budget="max_budget_usd", used=0.500012, limit=0.5),
            "used 0.500012 of 0.5; instruct with a higher config.max_budget_usd",
        ),
        (
            Standing(budget="usd_per_day", used=20.5, limit=20, scope="tenant:a"),
            "used 20.5 of 20",
        ),
    ],
)
def test_a_budget_that_is_used_up_says_what_to_do(over: Standing, told: str) -> None:
    """In plain figures; a day's budget is nothing that a task could raise."""
    assert over.told == told
