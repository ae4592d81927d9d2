"""
The end of a run, told to Redis until it answers: finished, or handed back.

Each report has one operation id over all its repeats, so a lost reply changes nothing. A cancel
that was accepted meanwhile wins: the run is then reported as canceled, with its work.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from internal.task.event import NewEvent, new_event
from internal.task.model import Claim, Outcome
from internal.task.queue import CancelAccepted, TaskQueue
from internal.worker.failure import CANCELED
from internal.worker.patience import until_written


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
            await until_written(lambda operation: _hand_back(queue, claim, end, operation))
            return False
        await until_written(lambda operation: queue.finish(claim, end, operation, tail))
    except CancelAccepted:
        canceled = _canceled(end)
        said = (*tail, new_event("system", "task_cancelled", {}))
        await until_written(lambda operation: queue.finish(claim, canceled, operation, said))
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
