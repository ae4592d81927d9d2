"""When a failed delivery is tried again."""

from __future__ import annotations

from random import Random

import pytest

from internal.webhook.model import Attempt, Verdict
from internal.webhook.schedule import Schedule, schedule_from_settings

HOUR = 3_600.0
STANDARD = [5, 300, 1_800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
ERROR = Attempt(verdict=Verdict.FAILED, reason="http_500", status=500)
TIMEOUT = Attempt(verdict=Verdict.FAILED, reason="timeout", timed_out=True)


def chance(seed: int = 1) -> Random:
    """A source of jitter that every run of the test shares."""
    return Random(seed)  # noqa: S311 - no secret is made of it


def busy(status: int, retry_after_seconds: float | None) -> Attempt:
    """An answer that may name a time."""
    return Attempt(
        verdict=Verdict.FAILED,
        reason=f"http_{status}",
        status=status,
        retry_after_seconds=retry_after_seconds,
    )


@pytest.mark.parametrize(("failed", "seconds"), list(enumerate(STANDARD, start=1)))
def test_the_default_is_the_standard_table_with_jitter(failed: int, seconds: float) -> None:
    """
    Each wait lies within ±20 % of the table and is not always the same.
    """
    schedule = schedule_from_settings()
    waits = [schedule.next_wait(failed, ERROR, chance(seed)) for seed in range(200)]

    assert all(wait is not None and 0.8 * seconds <= wait <= 1.2 * seconds for wait in waits)
    assert len(set(waits)) > 100


def test_the_default_gives_up_after_ten_attempts() -> None:
    """
    The tenth failure, more than three days after the first, is the last.
    """
    assert Schedule().next_wait(10, ERROR, chance()) is None


@pytest.mark.parametrize(
    ("count", "delay", "waits"),
    [
        (3, 5.0, [5, 25, 125]),
        (None, 2.0, [2, 10, 50]),
        (1, None, [5]),
        (0, None, []),
        (4, 0.1, [0.1, 0.5, 2.5, 12.5]),
        (9, 5.0, [5, 25, 125, 625, 3_125, 15_625, 78_125, 86_400, 86_400]),
    ],
)
def test_an_operators_setting_replaces_the_table(
    count: int | None, delay: float | None, waits: list[float]
) -> None:
    """
    Wait n is 5^(n-1) times the delay, exactly; the count is of tries after the first.
    """
    schedule = schedule_from_settings(count, delay)

    got = [schedule.next_wait(failed, ERROR, chance()) for failed in range(1, len(waits) + 1)]

    assert got == pytest.approx(waits)
    assert schedule.next_wait(len(waits) + 1, ERROR, chance()) is None


@pytest.mark.parametrize(
    ("attempt", "failed", "seconds"),
    [
        (busy(503, 1), 1, 5),
        (busy(503, 7), 1, 7),
        (busy(503, 86_400), 1, 10),
        (busy(503, 450), 2, 450),
        (busy(429, 450), 2, 450),
        (busy(429, 86_400), 2, 600),
        (busy(429, 7), 1, 60),
    ],
)
def test_retry_after_counts_between_the_plan_and_twice_of_it(
    attempt: Attempt, failed: int, seconds: float
) -> None:
    """
    Neither 0 nor a year of an endpoint decides; a 429 waits a minute at least.
    """
    assert Schedule().next_wait(failed, attempt, chance()) == seconds


def test_retry_after_of_other_answers_is_ignored() -> None:
    """
    Only 429 and 503 may name a time.
    """
    wait = Schedule().next_wait(2, busy(500, 600), chance())

    assert wait is not None
    assert wait <= 360


@pytest.mark.parametrize("attempt", [TIMEOUT, busy(429, None)])
def test_an_overloaded_endpoint_gets_a_minute(attempt: Attempt) -> None:
    """
    After a timeout or a 429 the first wait is 60 s instead of 5; later ones are longer anyway.
    """
    assert Schedule().next_wait(1, attempt, chance()) == 60
    later = Schedule().next_wait(2, attempt, chance())
    assert later is not None
    assert later >= 240


def test_an_operators_schedule_keeps_to_its_times_after_a_timeout() -> None:
    """
    The minute belongs to the default alone; Retry-After counts in both.
    """
    schedule = schedule_from_settings(3, 5)

    assert schedule.next_wait(1, TIMEOUT, chance()) == 5
    assert schedule.next_wait(1, busy(429, 60), chance()) == 10
