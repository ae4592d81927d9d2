"""
Cancellations that were swallowed on their way: loops that must end ask for them here.

CPython before 3.12 loses a cancellation in `asyncio.wait_for`, with which redis-py writes, when the
write is done at that moment (https://github.com/python/cpython/issues/86296).
"""

from __future__ import annotations

import asyncio


def end_if_cancelled() -> None:
    """
    Raises CancelledError when the current task was cancelled, whoever swallowed it since.

    Not for a task that catches the exceptions of a `TaskGroup` of its own: before Python 3.13 a
    failing group can leave its owner marked as cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
