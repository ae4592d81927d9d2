"""
The end of a run, told to Redis until it answers: finished, or handed back.

Each report has one operation id over all its repeats, so a lost reply changes nothing. A cancel
that was accepted meanwhile wins: the run is then reported as canceled, with its work.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence

import structlog
from redis.exceptions import RedisError

from internal.errors import Unavailable
from internal.ids import random_token
from internal.task.event import NewEvent, new_event
from internal.task.model import Claim, Outcome
from internal.task.queue import CancelAccepted, TaskQueue
from internal.worker.failure import CANCELED

log = structlog.get_logger(__name__)

_REPEAT_SECONDS = 0.5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HandBack:
    """Give the task back; `repeat` counts it as one of the run's own repeats."""

    reason: str
    delay_seconds: float = 0.0
    repeat: bool = False


async def report(
    queue: TaskQueue, claim: Claim, end: Outcome | HandBack, tail: Sequence[NewEvent] = ()
) -> bool:
    """
    Report the end of a claim; whether the run was recorded (not handed back).

    Raises:
        Fenced: nothing of this run counts.
    """
    try:
        if isinstance(end, HandBack):
            await until_answered(lambda operation: _hand_back(queue, claim, end, operation))
            return False
        await until_answered(lambda operation: queue.finish(claim, end, operation, tail))
    except CancelAccepted:
        canceled = _canceled(end)
        said = (*tail, new_event("system", "task_cancelled", {}))
        await until_answered(lambda operation: queue.finish(claim, canceled, operation, said))
    return True


def _canceled(end: Outcome | HandBack) -> Outcome:
    if isinstance(end, HandBack):
        return Outcome(failure=CANCELED)
    return dataclasses.replace(end, failure=CANCELED)


async def _hand_back(queue: TaskQueue, claim: Claim, end: HandBack, operation: str) -> None:
    await queue.hand_back(
        claim,
        operation,
        reason=end.reason,
        delay_seconds=end.delay_seconds,
        repeat=end.repeat,
    )


async def until_answered(write: Callable[[str], Awaitable[object]]) -> None:
    """Repeat *write*, with one operation id, until Redis answers it; its refusals pass through."""
    operation = random_token()
    while True:
        try:
            await write(operation)
        except (RedisError, OSError, Unavailable) as error:
            log.warning("report.repeats", error=str(error))
            await asyncio.sleep(_REPEAT_SECONDS)
        else:
            return
