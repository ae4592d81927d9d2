"""What strikes a deployment: each tick's faults are done to it, and counted where they could be."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from internal.rdb.embedded import EmbeddedRedis
from tests.support.chaos_round.fleet import Fleet, Place
from tests.support.chaos_round.hooks import Hooks
from tests.support.chaos_round.plan import LEASE_SECONDS, TICK_SECONDS, Fault, Strike

_PAUSE_SECONDS = LEASE_SECONDS + 2.0
_LONGER_SECONDS = 4.0
_AWAY_SECONDS = 1.5
_DOWN_SECONDS = 1.5


class Striker:
    """Does what a plan says until it is told to stop; then mends everything."""

    def __init__(
        self, fleet: Fleet, redis: EmbeddedRedis, hooks: Hooks, note: Callable[..., None]
    ) -> None:
        self.done: Counter[str] = Counter()
        """How often each fault happened; one whose victim was down already did not."""
        self.ticks = 0
        self._fleet = fleet
        self._redis = redis
        self._hooks = hooks
        self._note = note
        self._redis_is_away = asyncio.Lock()
        self._later: set[asyncio.Task[None]] = set()

    async def run(self, plan: Iterator[Sequence[Strike]], stop: asyncio.Event) -> None:
        due = time.monotonic()
        while not stop.is_set():
            while due <= time.monotonic():  # a busy machine makes no tick longer
                due += TICK_SECONDS
                self.ticks += 1
                for strike in next(plan):
                    self._do(strike)
            await asyncio.sleep(TICK_SECONDS)
        await self._mend()

    def _do(self, strike: Strike) -> None:
        is_done = self._strike(strike)
        if is_done:
            self.done[strike.fault] += 1

    def _strike(self, strike: Strike) -> bool:
        """Whether it could be done."""
        fault, length = strike.fault, strike.length
        if fault is Fault.KILL_REDIS:
            return not self._redis_is_away.locked() and self._start(self._kill_redis(length))
        if fault is Fault.HOOKS_DOWN:
            return self._start(self._hooks.go_down(_DOWN_SECONDS * length))
        role = "server" if fault is Fault.KILL_SERVER else "worker"
        places = self._fleet.of(role)
        place = places[int(strike.victim * len(places))]
        if fault.is_network:
            place.network.fail(fault, length)
            return True
        return self._strike_process(fault, place, length)

    def _strike_process(self, fault: Fault, place: Place, length: float) -> bool:
        if not place.is_up:
            return False
        match fault:
            case Fault.PAUSE:
                workers = self._fleet.of("worker")
                if sum(worker.is_paused for worker in workers) >= len(workers) // 3:
                    return False
                self._start(self._pause(place, _PAUSE_SECONDS + _LONGER_SECONDS * length))
            case Fault.STOP:
                place.is_leaving = True
                place.send(signal.SIGTERM)
            case _:
                self._note("kill", process=place.pid, place=place.name)
                place.send(signal.SIGKILL)
        return True

    async def _pause(self, place: Place, seconds: float) -> None:
        pid, place.is_paused = place.pid, True
        self._note("pause", process=pid, seconds=seconds)
        place.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        if place.pid == pid:
            place.send(signal.SIGCONT)
            place.is_paused = False

    async def _kill_redis(self, length: float) -> None:
        async with self._redis_is_away:
            assert self._redis.pid is not None
            self._note("redis gone")
            os.kill(self._redis.pid, signal.SIGKILL)
            await self._redis.wait_ended()
            await asyncio.sleep(_AWAY_SECONDS * length)
            await self._redis.start()
            self._note("redis back")

    def _start(self, later: Coroutine[Any, Any, None]) -> bool:
        task = asyncio.create_task(later)
        self._later.add(task)
        task.add_done_callback(self._later.discard)
        return True

    async def _mend(self) -> None:
        if self._later:
            await asyncio.wait(self._later)
        for place in self._fleet.places:
            place.network.heal()
