"""A step of a run that must end when the run has to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from internal.worker.lease import Stop
from internal.worker.watchdog import LimitKind

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 -- no error: the run is to end, for this reason
    """The run must end now."""

    def __init__(self, reason: Stop | LimitKind) -> None:
        super().__init__(reason)
        self.reason = reason


def no_grace(reason: Stop) -> float:
    """The step ends at once."""
    del reason
    return 0


async def until_stopped(
    step: Coroutine[Any, Any, T],
    stopped: asyncio.Future[Stop],
    *,
    seconds: float,
    grace: Callable[[Stop], float] = no_grace,
) -> T:
    """
    The result of *step*, which is cancelled *seconds* from now; when the run must end, after the
    seconds that *grace* gives for the reason.

    Raises:
        Stopped: it was cancelled.
    """
    task = asyncio.ensure_future(step)
    try:
        first: set[asyncio.Future[Any]] = {task, stopped}
        await asyncio.wait(first, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done() and not task.done():
            await asyncio.wait({task}, timeout=grace(stopped.result()))
        if task.done():
            return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    raise Stopped(stopped.result() if stopped.done() else LimitKind.TOTAL)
