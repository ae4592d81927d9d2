"""
Loop: the queue's chores, each second, in every process.

Expired leases go back to the queue or end as dead letters, due waits are promoted, gates are
re-checked, lists of absent homes move. The script makes it safe that every process does this at
once; with workers scaled to zero the server still does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis.exceptions import RedisError

from internal.errors import Unavailable
from internal.fault import fault_point
from internal.rdb.client import unavailable
from internal.task.queue import TaskQueue

log = structlog.get_logger(__name__)

PERIOD_SECONDS = 1.0


class Reaper:
    """Runs REAP until told to stop; an outage of Redis is waited out."""

    def __init__(
        self,
        queue: TaskQueue,
        *,
        home_grace_seconds: float,
        loss_rules: str = "",
        trim_share: float = 0.75,
    ) -> None:
        """*loss_rules* as `TaskQueue.reap` has them, *trim_share* as `TaskQueue.trim_events`."""
        self._queue = queue
        self._trim_share = trim_share
        self._loss_rules = loss_rules
        self._home_grace_seconds = home_grace_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """The loop; returns soon after *stop* is set."""
        away = False
        while not stop.is_set():
            more = False
            try:
                with unavailable():
                    more = await self._do_chores()
                away = False
            except (Unavailable, OSError) as error:
                if not away:
                    log.warning("reaper.redis_away", error=str(error))
                away = True
            except RedisError as error:  # of one task or key: the others go on with the next round
                log.warning("reaper.refused", error=str(error))
            await wait_for(stop.wait, seconds=0 if more else PERIOD_SECONDS)

    async def _do_chores(self) -> bool:
        """Whether there is more to do now."""
        lost, promoted, more = await self._queue.reap(
            home_grace_seconds=self._home_grace_seconds, loss_rules=self._loss_rules
        )
        if lost:
            log.warning("reaper.workers_lost", tasks=lost, promoted=promoted)
            fault_point("reaped")
        gone, more_events = await self._queue.trim_events(self._trim_share)
        if gone:
            log.warning("reaper.events_trimmed", events=gone)
        return more or more_events


async def wait_for(fact: Callable[[], Awaitable[object]], *, seconds: float) -> bool:
    """Wait until *fact* returns, at most so long; whether it did."""
    try:
        async with asyncio.timeout(seconds):
            await fact()
    except TimeoutError:
        return False
    return True
