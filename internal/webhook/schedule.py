"""
When a failed delivery is tried again, and when it is given up.

Pure. By default the table that Standard Webhooks recommends: ten attempts over three days, so that
an endpoint may be down for a weekend. An operator who sets `webhooks.retry_count` or
`webhooks.retry_delay` gets the schedule of CodeForge's first version instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from internal.webhook.model import Attempt

_MINUTE = 60.0
_HOUR = 60 * _MINUTE
_STANDARD_WAITS = (
    5.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)
_JITTER = 0.2
# An endpoint that is slow or says "too many" gets a minute at least.
_OVERLOAD_SECONDS = _MINUTE

_DEFAULT_RETRIES = 3
_DEFAULT_DELAY_SECONDS = 5.0
_GROWTH = 5
# The longest wait of the standard table; without a limit the powers of five reach weeks.
_MAX_WAIT_SECONDS = 24 * _HOUR

_MAY_NAME_A_TIME = (429, 503)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Waits between attempts, in seconds; as many retries as there are waits."""

    waits: tuple[float, ...] = _STANDARD_WAITS
    jitter: float = _JITTER
    """Each wait is drawn from ±this share of it."""
    overload_seconds: float = _OVERLOAD_SECONDS
    """The least wait after a timeout or a 429."""

    def next_wait(self, failed_attempts: int, last: Attempt, random: Random) -> float | None:
        """
        Seconds until the next attempt after *failed_attempts* (from 1), None when it is given up.

        A `Retry-After` of 429 or 503 counts between the planned wait and twice of it: an endpoint
        may ask for time, but neither end the back-off nor hold an event for ever.
        """
        if failed_attempts > len(self.waits):
            return None
        planned = self.waits[failed_attempts - 1]
        wait = planned * random.uniform(1 - self.jitter, 1 + self.jitter)
        if last.retry_after_seconds is not None and last.status in _MAY_NAME_A_TIME:
            wait = min(max(last.retry_after_seconds, planned), 2 * planned)
        if last.timed_out or last.status == 429:
            wait = max(wait, self.overload_seconds)
        return wait


def schedule_from_settings(
    retry_count: int | None = None, retry_delay_seconds: float | None = None
) -> Schedule:
    """
    The schedule for `webhooks.retry_count` (tries after the first) and `webhooks.retry_delay`.

    None means that the operator left the setting alone. If both are None the default applies, else
    wait number n is 5^(n-1) times the delay, exactly, but at most a day.
    """
    if retry_count is None and retry_delay_seconds is None:
        return Schedule()
    count = _DEFAULT_RETRIES if retry_count is None else retry_count
    delay = _DEFAULT_DELAY_SECONDS if retry_delay_seconds is None else retry_delay_seconds
    waits = tuple(min(delay * _GROWTH**exponent, _MAX_WAIT_SECONDS) for exponent in range(count))
    return Schedule(waits, jitter=0, overload_seconds=0)
