"""
Waiting for a child's end by its pidfd, in asyncio and uvloop alike, without a thread or SIGCHLD.

The child stays a zombie until its owner reaps it, so until then its pid and its group are its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


def exit_of(pid: int) -> asyncio.Future[None]:
    """A future that is done when the child *pid* has ended; cancelling it is safe."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    pidfd = os.pidfd_open(pid)

    def on_readable() -> None:
        if not ended.done():
            ended.set_result(None)
            forget()

    def forget() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)

    loop.add_reader(pidfd, on_readable)
    ended.add_done_callback(lambda done: forget() if done.cancelled() else None)
    return ended


async def uncancelled(work: Coroutine[None, None, T]) -> T:
    """
    Do *work* to its end: for clean-up that must not be left half-way, and is bounded by itself.

    A cancellation that arrives meanwhile is raised when the work is done.
    """
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    return task.result()
