"""
Waiting for Redis: what a run has to know or to say is asked again until Redis answers.

An outage is no failure of a run. Its end comes from outside: the heartbeat stops runs after the
outage grace, a worker that shuts down cancels them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from internal.errors import Unavailable
from internal.ids import random_token
from internal.rdb.cancellation import end_if_cancelled
from internal.rdb.client import unavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

_REPEAT_SECONDS = 0.5


async def until_answered(ask: Callable[[], Awaitable[T]]) -> T:
    """
    What *ask* returns, asked again for as long as Redis is away, loading or full.

    A refusal of the command itself would come again each time, so it passes, as every other error.
    """
    waiting = False
    while True:
        end_if_cancelled()
        try:
            with unavailable():
                return await ask()
        except (Unavailable, OSError) as error:
            if not waiting:
                log.warning("redis.awaited", error=str(error))
            waiting = True
            await asyncio.sleep(_REPEAT_SECONDS)


async def until_written(write: Callable[[str], Awaitable[T]]) -> T:
    """As `until_answered`, for a *write* that is safe to repeat by its operation id."""
    operation = random_token()
    return await until_answered(lambda: write(operation))
