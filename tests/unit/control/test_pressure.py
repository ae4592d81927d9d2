"""Whether new work is taken: one rule over plain numbers."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from internal.config.settings import PressureSettings
from internal.control.pressure import Answer, Cause, Load, Pressure, pressure

_NUMBERS = Pressure()


def _answer(**load: float) -> tuple[Answer, Cause]:
    verdict = pressure(Load(**load), _NUMBERS)  # type: ignore[arg-type]  # whole numbers where they must be
    assert (verdict.retry_after_seconds > 0) == (verdict.answer is not Answer.ACCEPT)
    return verdict.answer, verdict.cause


def test_a_calm_deployment_takes_everything() -> None:
    """Zeros mean that nothing is known to be short."""
    assert _answer() == (Answer.ACCEPT, Cause.NONE)


@pytest.mark.parametrize("age", [11, 3_600, 10_000_000])
def test_weakness_1_a_queue_that_only_waits_is_no_overload(age: float) -> None:
    """Its age alone says nothing: one slot and a long first task let the next ones wait."""
    assert _answer(runnable=2, slots=1, oldest_seconds=age) == (Answer.ACCEPT, Cause.NONE)
    assert _answer(runnable=0, slots=1, oldest_seconds=age) == (Answer.ACCEPT, Cause.NONE)


def test_weakness_1_a_queue_without_workers_is_no_overload() -> None:
    """They are scaled to zero, and the queue's depth is what brings them back."""
    found = _answer(runnable=1_000_000, slots=0, oldest_seconds=1_000_000)

    assert found == (Answer.ACCEPT, Cause.NONE)


def test_weakness_1_a_deep_queue_that_moves_is_no_overload() -> None:
    """Depth alone says nothing either: a burst that is done soon is welcome."""
    assert _answer(runnable=1_000_000, slots=1, oldest_seconds=5) == (Answer.ACCEPT, Cause.NONE)


def test_a_queue_that_is_deep_and_old_slows_down_and_then_refuses() -> None:
    """Both together mean that the slots do not keep up."""
    assert _answer(runnable=2_001, slots=10, oldest_seconds=901) == (Answer.SLOW, Cause.QUEUE)
    assert _answer(runnable=20_001, slots=10, oldest_seconds=901) == (Answer.SLOW, Cause.QUEUE)
    assert _answer(runnable=20_001, slots=10, oldest_seconds=3_601) == (
        Answer.REFUSE,
        Cause.QUEUE,
    )


def test_only_full_disks_of_all_homes_slow_down() -> None:
    """One home with room is enough."""
    assert _answer(homes=2, full_homes=1) == (Answer.ACCEPT, Cause.NONE)
    assert _answer(homes=2, full_homes=2) == (Answer.SLOW, Cause.DISK)


def test_memory_slows_down_and_then_refuses() -> None:
    """Of this server's container or machine."""
    assert _answer(memory_share=0.95) == (Answer.ACCEPT, Cause.NONE)
    assert _answer(memory_share=0.96) == (Answer.SLOW, Cause.MEMORY)
    assert _answer(memory_share=0.99) == (Answer.REFUSE, Cause.MEMORY)


def test_redis_memory_refuses_only_above_nine_tenths() -> None:
    """Below that old agent events make room first."""
    assert _answer(redis_memory_share=0.9) == (Answer.ACCEPT, Cause.NONE)
    assert _answer(redis_memory_share=0.901) == (Answer.REFUSE, Cause.REDIS_MEMORY)


def test_the_settings_have_the_same_numbers() -> None:
    """Their defaults are copies, because they stand on a lower floor."""
    assert PressureSettings().model_dump() == asdict(Pressure())
