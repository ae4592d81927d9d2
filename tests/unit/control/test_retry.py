"""Whether a failed run repeats by itself, and when."""

from __future__ import annotations

from random import Random

import pytest

from internal.control.retry import Failed, FailureClass, RetryRule, is_exhausted, repeat_delay


def failed(kind: FailureClass, repeats: int, **more: float) -> Failed:
    """A failure of a class."""
    asked = int(more.pop("asked_repeats", 0))
    return Failed(kind=kind, repeats=repeats, asked_repeats=asked, **more)


def delays(what: Failed, rule: RetryRule | None = None) -> list[float | None]:
    """Many answers for the same failure."""
    random = Random(1)  # noqa: S311 -- the same each time
    return [repeat_delay(rule or RetryRule(), what, random) for _ in range(200)]


def test_what_may_pass_repeats_at_most_three_times_with_full_jitter() -> None:
    """Over 5 s * 4^n, and never before the other side asked."""
    passing = FailureClass.PASSING

    for repeats, longest in ((0, 5), (1, 20), (2, 80)):
        found = [delay or 0 for delay in delays(failed(passing, repeats))]
        assert 1 <= min(found) <= max(found) <= longest
        assert max(found) > longest * 0.8
    assert set(delays(failed(passing, 3))) == {None}
    assert set(delays(failed(passing, 0, asked_seconds=60))) == {60}


def test_weakness_23_what_lasts_is_never_repeated() -> None:
    """However often the task wants it."""
    assert set(delays(failed(FailureClass.LASTING, 0, asked_repeats=5))) == {None}


@pytest.mark.parametrize(("asked", "repeats", "does"), [(0, 0, 0), (2, 0, 1), (2, 1, 1), (2, 2, 0)])
def test_the_agents_own_failure_repeats_as_often_as_the_task_asks(
    asked: int, repeats: int, does: int
) -> None:
    """None by itself."""
    found = delays(failed(FailureClass.AGENT, repeats, asked_repeats=asked))

    assert [delay is not None for delay in found] == [bool(does)] * len(found)


def test_the_longest_pause_is_a_bound() -> None:
    """However many repeats a policy allows."""
    rule = RetryRule(most_repeats=100, longest_seconds=30)

    assert max(delay or 0 for delay in delays(failed(FailureClass.PASSING, 99), rule)) <= 30


@pytest.mark.parametrize(
    ("kind", "asked", "repeats", "is_letter"),
    [
        (FailureClass.PASSING, 0, 3, True),
        (FailureClass.PASSING, 0, 0, False),
        (FailureClass.AGENT, 2, 2, True),
        (FailureClass.AGENT, 0, 3, False),
        (FailureClass.LASTING, 2, 2, False),
    ],
)
def test_only_what_used_up_its_repeats_is_exhausted(
    kind: FailureClass, asked: int, repeats: int, is_letter: bool
) -> None:
    """What never repeats has used up nothing."""
    assert is_exhausted(failed(kind, repeats, asked_repeats=asked)) == is_letter
