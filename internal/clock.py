"""
Time as an argument: code that decides by time takes a `Clock`, so tests can hold it still.

Due times that several machines compare come from Redis' clock, never from here; durations come from
`monotonic`, which no administrator can turn back.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where a component reads the time."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only go forward; differences have a meaning, values have none."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ToldClock(SystemClock):
    """
    Redis' clock: as it was told last, moved on by this machine's monotonic one.

    Until it was told, and it is with each heartbeat, the wall clock of this machine.
    """

    def __init__(self) -> None:
        self._told: tuple[datetime, float] | None = None

    def tell(self, moment: datetime) -> None:
        """It is *moment* now; from any thread."""
        self._told = (moment, self.monotonic())

    def now(self) -> datetime:
        if self._told is None:
            return super().now()
        moment, at = self._told
        return moment + timedelta(seconds=self.monotonic() - at)


def rfc3339(moment: datetime) -> str:
    """An aware time as RFC 3339 UTC with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_millis(millis: int) -> datetime:
    """Redis' milliseconds since the epoch as an aware time."""
    return datetime.fromtimestamp(millis / 1000, UTC)
