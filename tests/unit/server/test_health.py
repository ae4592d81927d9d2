"""Durations as the Go server prints them."""

from __future__ import annotations

import pytest

from internal.server.handlers.health import go_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0s"), (3.4, "3s"), (60, "1m0s"), (125, "2m5s"), (3723, "1h2m3s"), (90_000, "25h0m0s")],
)
def test_an_uptime_reads_as_in_go(seconds: float, text: str) -> None:
    """
    Rounded to seconds, without leading zeros, hours without end.
    """
    assert go_duration(seconds) == text
