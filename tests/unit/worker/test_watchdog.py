"""Limits of a run: what counts for them, and what does not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from internal.worker import watchdog
from internal.worker.watchdog import LimitKind, Limits, watch


@dataclass
class _World:
    """A clock that moves a second each time it is asked, and an agent that is frozen or speaks."""

    second: float = 0.0
    frozen_until: float = 0.0
    speaks_until: float = 0.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        self.second += 1
        return self.second

    @property
    def last_output_at(self) -> float:
        return min(self.second, self.speaks_until)

    def frozen_seconds(self) -> float:
        return min(self.second, self.frozen_until)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_LOOK_SECONDS", 0)


@pytest.mark.parametrize(
    ("world", "kind", "at"),
    [
        (_World(), LimitKind.SILENCE, 10),
        (_World(speaks_until=100), LimitKind.TOTAL, 30),
        (_World(speaks_until=15), LimitKind.SILENCE, 25),
        (_World(frozen_until=50), LimitKind.SILENCE, 60),
        (_World(frozen_until=50, speaks_until=100), LimitKind.TOTAL, 80),
    ],
)
async def test_the_first_limit_ends_the_run_and_frozen_time_counts_for_none(
    world: _World, kind: LimitKind, at: float
) -> None:
    """Ten seconds of silence or thirty in all."""
    limits = Limits(timeout_seconds=30, silence_seconds=10, deadline=30)

    reached = await asyncio.wait_for(watch(world, limits, world), 30)

    assert (reached, world.second) == (kind, at)
