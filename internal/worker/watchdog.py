"""
Time limits of a run: the total, and how long its agent may be silent.

Silence, not duration, means a hang. Time in which the tree was frozen (its lease in doubt) counts
for neither limit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from internal.clock import Clock

_LOOK_SECONDS = 0.25


class LimitKind(StrEnum):
    """Which limit ended a run."""

    TOTAL = "total"
    SILENCE = "silence"
    REPEATS = "repeats"
    """No time: the agent did the same again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Both limits of one run in seconds; `deadline` is monotonic and covers preparing, too."""

    timeout_seconds: int
    silence_seconds: int
    deadline: float

    def seconds(self, kind: LimitKind) -> int:
        return self.timeout_seconds if kind is LimitKind.TOTAL else self.silence_seconds

    def seconds_left(self, now: float) -> float:
        """How much of the total is left at *now* (monotonic)."""
        return max(0.0, self.deadline - now)


class Watched(Protocol):
    """What the watchdog looks at: the agent's process."""

    @property
    def last_output_at(self) -> float: ...

    def frozen_seconds(self) -> float: ...


async def watch(process: Watched, limits: Limits, clock: Clock) -> LimitKind:
    """Return when a limit is reached, never before; cancel it when the run ends first."""
    frozen_before = process.frozen_seconds()
    last_output = process.last_output_at
    frozen_at_output = frozen_before
    while True:
        now, frozen = clock.monotonic(), process.frozen_seconds()
        if process.last_output_at != last_output:
            last_output, frozen_at_output = process.last_output_at, frozen
        if now - (frozen - frozen_before) >= limits.deadline:
            return LimitKind.TOTAL
        if now - last_output - (frozen - frozen_at_output) >= limits.silence_seconds:
            return LimitKind.SILENCE
        await asyncio.sleep(_LOOK_SECONDS)
