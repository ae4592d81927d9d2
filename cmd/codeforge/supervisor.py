"""
Keeps the parts of one machine running: an embedded Redis and child processes, restarted when they
die.

It stops in order: workers drain, the server says `bye`, Redis goes last. A second signal ends all
at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from internal.errors import CodeforgeError
from internal.rdb.embedded import EmbeddedRedis

log = structlog.get_logger(__name__)

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
_HEALTHY_SECONDS = 30.0
"""A child that ran so long is restarted without a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One child process; `stop_seconds` is how long it may take to end after SIGTERM."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    stop_seconds: float


class Child:
    """Runs one child until told to stop, again and again."""

    def __init__(self, spec: ChildSpec) -> None:
        self._spec = spec
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def run(self, stop: asyncio.Event) -> None:
        """Start it and restart what dies; returns when it has ended after *stop*."""
        pause = _FIRST_PAUSE_SECONDS
        clock = asyncio.get_running_loop().time
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                began = clock()
                await self._run_once(stopping)
                if stop.is_set():
                    return
                lived = clock() - began
                pause = _FIRST_PAUSE_SECONDS if lived > _HEALTHY_SECONDS else pause
                await asyncio.wait({stopping}, timeout=pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        finally:
            stopping.cancel()
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _run_once(self, stopping: asyncio.Task[bool]) -> None:
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._spec.argv,
                env=dict(self._spec.environment),
                start_new_session=True,  # Ctrl-C on the terminal is for the supervisor alone
            )
        except OSError as error:  # no memory, no processes: it is tried again, as what dies is
            log.warning("up.not_started", part=self._spec.name, error=str(error))
            return
        log.debug("up.started", part=self._spec.name, pid=process.pid)
        ended = asyncio.create_task(process.wait())
        await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await asyncio.wait({ended}, timeout=self._spec.stop_seconds)
        if not ended.done():
            log.warning("up.killed", part=self._spec.name, after_seconds=self._spec.stop_seconds)
            self.kill()
        status = await ended
        if not stopping.done():
            log.warning("up.restarts", part=self._spec.name, exit_status=status)


class Supervisor:
    """*stages* are stopped one after the other, the first one first; then Redis."""

    def __init__(self, redis: EmbeddedRedis | None, stages: Sequence[Sequence[ChildSpec]]) -> None:
        self._redis = redis
        self._stages = [[Child(spec) for spec in specs] for specs in stages]

    async def run(self, stop: asyncio.Event) -> None:
        """Run everything until *stop*, then stop it in order. Redis runs already."""
        stops = [asyncio.Event() for _ in self._stages]
        redis_stop = asyncio.Event()
        keeper = asyncio.create_task(self._keep_redis(redis_stop))
        running = [
            [asyncio.create_task(child.run(end)) for child in stage]
            for stage, end in zip(self._stages, stops, strict=True)
        ]
        try:
            await stop.wait()
            for end, tasks in zip(stops, running, strict=True):
                end.set()
                await asyncio.gather(*tasks)
        finally:
            self.kill()
            redis_stop.set()
            await keeper

    def kill(self) -> None:
        """End all children at once."""
        for stage in self._stages:
            for child in stage:
                child.kill()

    async def _keep_redis(self, stop: asyncio.Event) -> None:
        if self._redis is None:
            return
        stopping = asyncio.create_task(stop.wait())
        pause = _FIRST_PAUSE_SECONDS
        clock = asyncio.get_running_loop().time
        while not stop.is_set():
            began = clock()
            ended = asyncio.create_task(self._redis.wait_ended())
            await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                ended.cancel()
                break
            log.warning("up.restarts", part="redis", exit_status=ended.result())
            if clock() - began > _HEALTHY_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            else:  # a full disk ends it at each write: without end, but not without a pause
                await asyncio.wait({stopping}, timeout=pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            try:
                await self._redis.start()
            except CodeforgeError as error:
                log.error("up.redis_failed", error=error.message)  # noqa: TRY400 -- it is expected
        stopping.cancel()


def stop_on_signals(stop: asyncio.Event, supervisor: Supervisor) -> None:
    """First SIGINT or SIGTERM: stop in order; the second: end at once."""

    def on_signal() -> None:
        if stop.is_set():
            supervisor.kill()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
