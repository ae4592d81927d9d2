"""Whether a run waits for a provider's quota, takes another key, or fails."""

from __future__ import annotations

import pytest

from internal.control.quota import QuotaRule, UsedUp, quota_wait

RULE = QuotaRule(longest_wait_seconds=3600, most_waits=3, pause_seconds=900)


@pytest.mark.parametrize(
    ("seconds", "has_next", "waits", "wanted"),
    [
        (600, False, 0, 600),
        (600, True, 0, 600),
        (0, False, 0, 1),
        (3600, False, 2, 3600),
        (3601, False, 0, None),
        (3601, True, 0, 3600),
        (None, False, 0, None),
        (None, True, 0, 900),
        (600, True, 3, None),
        (600, False, 3, None),
    ],
)
def test_a_known_end_is_waited_for_and_an_unknown_one_needs_another_key(
    seconds: float | None, has_next: bool, waits: int, wanted: float | None
) -> None:
    """Not longer than the rule says, and not for ever: an agent may always name a time."""
    used_up = UsedUp(seconds=seconds, waits=waits, has_next=has_next)

    assert quota_wait(RULE, used_up) == wanted
