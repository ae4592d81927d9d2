"""When a quota opens again, as providers word it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internal.agent.quota import of_epoch, reset_of

NOW = datetime(2026, 11, 21, 13, 30, 20, tzinfo=UTC)


def today(hour: int, minute: int = 0, *, days: int = 0) -> datetime:
    """A time of the day that it is."""
    return NOW.replace(hour=hour, minute=minute, second=0) + timedelta(days=days)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (f"Claude AI usage limit reached|{int(today(15).timestamp())}", today(15)),
        (f"Claude AI usage limit reached|{int(today(15).timestamp())}000", today(15)),
        ("You've hit your limit · resets 3pm (UTC)", today(15)),
        ("You've hit your session limit · resets 4:50pm (Europe/Paris)", today(15, 50)),
        ("5-hour limit reached ∙ resets 2am", today(2, days=1)),
        ("Weekly limit reached · resets 10am (Asia/Seoul) · /upgrade", today(1, days=1)),
        ("Your limit will reset at 1pm (America/Los_Angeles).", today(21)),
        ("resets Nov 23 at 10am (UTC)", today(10, days=2)),
        ("Resets Nov 30, 5:59am (UTC)", today(5, 59, days=9)),
        ("resets 12am (UTC)", today(0, days=1)),
        ("resets 1:29pm (UTC)", NOW),
        ("resets 18:45 (UTC)", today(18, 45)),
        ("Please try again in 1.5s.", NOW + timedelta(seconds=1.5)),
        ("Try again in 2 hours 9 minutes.", NOW + timedelta(hours=2, minutes=9)),
        ("It resets in 3h20m", NOW + timedelta(hours=3, minutes=20)),
    ],
)
def test_each_form_is_understood(text: str, moment: datetime) -> None:
    """With the zone it names, and the next time the clock shows it."""
    assert reset_of(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        "Credit balance is too low",
        "You've hit your limit · resets 3pm (Not/A_Zone)",
        "resets 3pm (../../etc/passwd)",
        "resets 25:99 (UTC)",
        "resets 13pm (UTC)",
        "resets Feb 31 at 10am (UTC)",
        "resets 3 of your settings",
        "usage limit reached|12345",
        "usage limit reached|9999999999",
        "usage limit reached|1000000000",
        "try again in 9999999999 days",
        "",
    ],
)
def test_what_makes_no_sense_is_none(text: str) -> None:
    """A guess would let a run wait for nothing, or a queue for ever."""
    assert reset_of(text, NOW) is None


def test_a_number_of_its_own_is_seconds() -> None:
    """As the client's line about its window has it; nonsense is none there, too."""
    assert of_epoch(today(15).timestamp(), NOW) == today(15)
    assert [of_epoch(number, NOW) for number in (0, -1, 1e14, 5)] == [None] * 4


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    """An agent prints what it likes."""
    found = reset_of(f"resets {text}", NOW)

    assert found is None or found >= NOW
