"""
The processes of a round as its faults see them: places for workers and servers that are refilled.

A place whose process ended, for whatever reason, gets a new one at once, until the fleet is told to
leave. A worker of the release before comes from a nursery on its tree.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.chaos_round.network import Network

REDIS_AWAY = 75  # as `nursery` says it; importing that would import every program
_ROOT = Path(__file__).parents[3]
_START_SECONDS = 60
_LEAVE_SECONDS = 90


class Nursery:
    """One process that forks others; see `nursery`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._started: asyncio.Queue[int] = asyncio.Queue()
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._one = asyncio.Lock()
        self._door: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())

    async def start(
        self, role: str, environment: Mapping[str, str], log: Path
    ) -> tuple[int, asyncio.Future[int]]:
        """A new process: its pid, and its exit status once it ended."""
        own = {"CHAOS_DOOR": await self._door, "CHAOS_LOG": str(log)}
        order = {"start": role, "environment": {**environment, **own}, "log": str(log)}
        assert self._process.stdin is not None
        async with self._one:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            async with asyncio.timeout(_START_SECONDS):
                pid = await self._started.get()
        return pid, self._ended_of(pid)

    async def end(self) -> None:
        """End it, and with it every process it forked."""
        self._reading.cancel()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def _ended_of(self, pid: int) -> asyncio.Future[int]:
        return self._ended.setdefault(pid, asyncio.get_running_loop().create_future())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if "door" in said:
                self._door.set_result(said["door"])
            elif "started" in said:
                self._ended.pop(said["started"], None)  # the kernel gave the number again
                self._started.put_nowait(said["started"])
            elif "ended" in said:
                ended = self._ended_of(said["ended"])
                if not ended.done():
                    ended.set_result(said["status"])


@contextlib.asynccontextmanager
async def open_nursery(tree: Path, directory: Path) -> AsyncGenerator[Nursery]:
    """A nursery on the project at *tree*, in *directory*."""
    path = [str(tree), str(tree / "cmd"), str(_ROOT), *sys.path]
    with (directory / "nursery.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.chaos_round.nursery", str(tree)),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, path))},
            cwd=directory,
            stdin=PIPE,
            stdout=PIPE,
            stderr=log,
            start_new_session=True,
        )
    nursery = Nursery(process)
    try:
        yield nursery
    finally:
        await nursery.end()


@dataclass
class Place:
    """Where one worker or server runs, again and again."""

    name: str
    role: str
    nursery: Nursery
    environment: Mapping[str, str]
    network: Network
    log: Path
    is_of_before: bool = False
    """Its processes are of another version, with bugs that are mended since."""
    pid: int = 0
    ended: asyncio.Future[int] | None = None
    is_paused: bool = False
    is_leaving: bool = False
    """It was told to stop in good order."""

    @property
    def is_up(self) -> bool:
        """It runs, and nothing is being done to it."""
        return self.pid > 0 and not self.is_paused and not self.is_leaving

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, number)


@dataclass
class Fleet:
    """All places. *note* is told of every process that begins or ends."""

    places: Sequence[Place]
    note: Callable[..., None]
    exits: Counter[str] = field(default_factory=Counter[str])
    _is_over: bool = False
    _keepers: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    def of(self, role: str) -> list[Place]:
        return [place for place in self.places if place.role == role]

    async def start(self) -> None:
        """Fill all places; returns when each had its first process."""
        for place in self.places:
            await self._fill(place)
            self._keepers.append(asyncio.create_task(self._keep(place)))

    async def leave(self, role: str) -> None:
        """End all processes of a role in good order; what does not go is killed and counted."""
        self._is_over = True
        places = self.of(role)
        for place in places:
            place.is_leaving = True
            place.send(signal.SIGCONT)
            place.send(signal.SIGTERM)
        going = [place.ended for place in places if place.ended is not None]
        if going:
            await asyncio.wait(going, timeout=_LEAVE_SECONDS)
        for place in places:
            if place.ended is not None and not place.ended.done():
                self.exits["did not leave"] += 1
                place.send(signal.SIGKILL)

    async def close(self) -> None:
        """No place is filled any more."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _fill(self, place: Place) -> None:
        place.pid, place.ended = await place.nursery.start(place.role, place.environment, place.log)
        place.is_paused = place.is_leaving = False
        self.note("began", place=place.name, process=place.pid)

    async def _keep(self, place: Place) -> None:
        while True:
            assert place.ended is not None
            status = await asyncio.shield(place.ended)
            self.note("ended", place=place.name, process=place.pid, status=status)
            self._count_exit(place, status)
            place.pid = 0
            if self._is_over:
                return
            await asyncio.sleep(0.2)
            await self._fill(place)

    def _count_exit(self, place: Place, status: int) -> None:
        if status in {-signal.SIGKILL, REDIS_AWAY} or place.is_of_before:
            return
        if status != 0 or not place.is_leaving:
            self.exits[f"{place.role} ended with {status}"] += 1
