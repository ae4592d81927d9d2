"""
Runs that lost two workers run alone: this starts the process for them, one per home at a time.

The child is `codeforge worker --alone`: one slot, only such tasks, ends when none is left. A lock
in the home's `data_dir` says that one runs, whichever worker started it; the child holds it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


@contextmanager
def alone_lock(path: Path) -> Generator[bool]:
    """Whether this process is now the home's lone worker; held while the context is open."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


class AloneStarter:
    """`ring` may be called from any thread; `run` is the loop that starts the child."""

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        lock: Path,
        *,
        stop_seconds: float,
    ) -> None:
        """*stop_seconds* is how long a child may take to drain."""
        self._argv = argv
        self._environment = environment
        self._lock = lock
        self._stop_seconds = stop_seconds
        self._wanted = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def ring(self) -> None:
        """A task waits to run alone."""
        self._loop.call_soon_threadsafe(self._wanted.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Start a child whenever one is wanted and none runs; end it with this worker."""
        ended = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                wanted = asyncio.create_task(self._wanted.wait())
                await asyncio.wait({ended, wanted}, return_when=asyncio.FIRST_COMPLETED)
                wanted.cancel()
                self._wanted.clear()
                if not stop.is_set() and not self._one_runs():
                    await self._run_child(ended)
                    self._wanted.clear()  # it rang for what has run; else it rings again
        finally:
            ended.cancel()

    def _one_runs(self) -> bool:
        with alone_lock(self._lock) as free:
            return not free

    async def _run_child(self, ended: asyncio.Task[bool]) -> None:
        try:
            child = await asyncio.create_subprocess_exec(
                *self._argv,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for this worker, which then stops the child
            )
        except OSError as error:  # no memory, no processes: the next heartbeat rings again
            log.warning("worker.alone_failed", error=str(error))
            return
        log.info("worker.alone_started", pid=child.pid)
        gone = asyncio.create_task(child.wait())
        await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not gone.done():
            child.terminate()
            await asyncio.wait({gone}, timeout=self._stop_seconds)
        if not gone.done():
            child.kill()
        log.info("worker.alone_ended", exit_code=await gone)
