"""
A lock between processes on one machine: flock on a file, waited for within a limit.

The kernel drops it with its holder, so a killed process leaves none behind.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

_ASK_AGAIN_SECONDS = (
    0.02  # flock can only be waited for by a blocked thread, which no cancel reaches
)


@asynccontextmanager
async def file_lock(path: Path, *, timeout_seconds: float) -> AsyncGenerator[None]:
    """
    Hold the lock on *path* (made if missing).

    Raises:
        TimeoutError: somebody else held it for *timeout_seconds*.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        async with asyncio.timeout(timeout_seconds):
            while not _try_lock(descriptor):  # noqa: ASYNC110 - the fact lies in the kernel
                await asyncio.sleep(_ASK_AGAIN_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
