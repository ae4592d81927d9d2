"""
The heartbeat: one thread that renews the leases of all tasks of this process, each 3 s.

It is a thread with a connection of its own, so that a busy event loop costs no lease. Each answer
is passed on at once: the new end of the lease to the agent's shim (which freezes and kills by
itself when it hears nothing), a cancel or a lost lease to the run. It also watches the event loop:
a hung worker is a dead worker, so when the loop has not moved over two rounds, the thread writes
all stacks and kills the process.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import structlog
from redis.exceptions import RedisError

from internal.fault import fault_point
from internal.task.event import encode
from internal.task.fenced import ref_of
from internal.task.heartbeat import Beat, BeatReply
from internal.task.model import Claim

log = structlog.get_logger(__name__)

PERIOD_SECONDS = 3.0
TICK_SECONDS = 1.0
_REPEAT_SECONDS = 1.0
"""After a heartbeat without an answer: the sooner the next one, the fewer agents freeze."""
_HUNG_ROUNDS = 2

Send = Callable[[Sequence[tuple[str, str]], str], BeatReply]
"""
One HEARTBEAT for pairs (ref, token) with a registry record; raises when Redis does not answer.
"""


class Stop(StrEnum):
    """Why a run must end before its agent does."""

    CANCEL = "cancel"
    """A client asked for it; the end is reported as canceled."""
    PAUSE = "pause"
    """A client asked for it; what there is so far is recorded, and the run goes on later."""
    FENCED = "fenced"
    """The lease is somebody else's: nothing of this run counts."""
    OUTAGE = "outage"
    """Redis was away for the whole grace; the task is handed back."""
    SHUTDOWN = "shutdown"
    """This worker stops; the task is handed back."""
    ESCALATED = "escalated"
    """Its agent, repository or worker was stopped; the task is handed back."""


class Hold:
    """
    One claim as its run and the heartbeat share it.

    `stopped` resolves with the first reason to stop. What `attach` is given is told each new end of
    the lease (monotonic seconds), from the heartbeat's thread.
    """

    def __init__(self, claim: Claim, lease_end: float, loop: asyncio.AbstractEventLoop) -> None:
        self.claim = claim
        self.lease_end = lease_end
        self.stopped: asyncio.Future[Stop] = loop.create_future()
        self.told = asyncio.Event()
        """A directive waits for the agent."""
        self._loop = loop
        self._on_lease: Callable[[float], None] | None = None

    def attach(self, on_lease: Callable[[float], None]) -> None:
        """Give the lease to a process that has just started."""
        self._on_lease = on_lease
        on_lease(self.lease_end)

    def detach(self) -> None:
        """The process has ended."""
        self._on_lease = None

    def renew(self, lease_end: float) -> None:
        """From the heartbeat's thread: Redis has confirmed the lease up to *lease_end*."""
        self.lease_end = lease_end
        on_lease = self._on_lease  # the run may detach meanwhile
        if on_lease is not None:
            on_lease(lease_end)

    def stop(self, reason: Stop) -> None:
        """From any thread: the run must end; the first reason counts."""
        self._loop.call_soon_threadsafe(self._resolve, reason)

    def tell(self) -> None:
        """From any thread: a directive waits."""
        self._loop.call_soon_threadsafe(self.told.set)

    def _resolve(self, reason: Stop) -> None:
        if not self.stopped.done():
            self.stopped.set_result(reason)


class Heartbeat:
    """
    The thread. *send* does one heartbeat; *info* gives the registry record for a number of claims;
    *on_alone* is called in the thread when a task waits to run alone.
    """

    def __init__(
        self,
        send: Send,
        *,
        lease_seconds: float,
        outage_grace_seconds: float,
        info: Callable[[int], Mapping[str, Any]],
        on_alone: Callable[[], None],
    ) -> None:
        self._send = send
        self._lease_seconds = lease_seconds
        self._grace_seconds = outage_grace_seconds
        self._info = info
        self._on_alone = on_alone
        self._holds: dict[str, Hold] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = False
        self._ticks = 0
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Stop the thread; waits at most a few seconds for the heartbeat in flight."""
        self._ended = True
        self._wake.set()
        self._thread.join(timeout=5)

    def beat_now(self) -> None:
        """Send the next heartbeat at once; from any thread."""
        self._wake.set()

    async def tick(self) -> None:
        """
        Show the thread that the event loop moves; run it beside the pool, cancel it at the end.
        """
        while True:
            self._ticks += 1
            await asyncio.sleep(TICK_SECONDS)

    def hold(self, claim: Claim, claimed_at: float) -> Hold:
        """Begin to renew a claim that was asked for at *claimed_at* (monotonic)."""
        hold = Hold(claim, claimed_at + self._lease_seconds, asyncio.get_running_loop())
        with self._lock:
            self._holds[claim.token] = hold
        return hold

    def release(self, hold: Hold) -> None:
        """The run has ended, or its lease is gone."""
        with self._lock:
            self._holds.pop(hold.claim.token, None)

    def holds(self) -> list[Hold]:
        """All claims held now."""
        with self._lock:
            return list(self._holds.values())

    def _run(self) -> None:
        try:
            self._keep_beating()
        except Exception:
            if not self._ended:  # else the event loop is closed already
                log.critical("heartbeat.broken", exc_info=True)
                _die()  # all leases would run out, and each claim would cost a life

    def _keep_beating(self) -> None:
        answered_at = time.monotonic()
        loop_watch = _LoopWatch()
        while not self._ended:
            began = time.monotonic()
            loop_watch.look(self._ticks, began)
            pause = PERIOD_SECONDS
            try:
                self._beat(began)
                answered_at = began
            except (RedisError, OSError) as error:
                pause = _REPEAT_SECONDS
                silent = time.monotonic() - answered_at
                log.warning("heartbeat.unanswered", seconds=round(silent, 1), error=str(error))
                if silent >= self._grace_seconds:
                    for hold in self.holds():
                        hold.stop(Stop.OUTAGE)
            self._wake.wait(max(0.0, began + pause - time.monotonic()))
            self._wake.clear()

    def _beat(self, began: float) -> None:
        holds = self.holds()
        pairs = [(ref_of(hold.claim), hold.claim.token) for hold in holds]
        busy = sum(not hold.claim.publish for hold in holds)  # create-prs take no slot of agents
        reply = self._send(pairs, encode(self._info(busy)))
        for hold in holds:
            beat = reply.claims[hold.claim.token]
            if beat is Beat.FENCED:
                self._fenced(hold)
                continue
            hold.renew(began + self._lease_seconds)
            fault_point("lease_renewed")
            if beat is Beat.CANCEL:
                hold.stop(Stop.CANCEL)
            elif beat is Beat.PAUSE:
                hold.stop(Stop.PAUSE)
            elif beat is Beat.ESCALATED:
                hold.stop(Stop.ESCALATED)
            elif beat is Beat.DIRECTIVE:
                hold.tell()
        if reply.alone_waiting:
            self._on_alone()

    def _fenced(self, hold: Hold) -> None:
        with self._lock:
            still_held = self._holds.pop(hold.claim.token, None) is hold
        if still_held:  # else it finished while the heartbeat was under way
            log.warning("lease.lost", task_id=hold.claim.task.id, claim=hold.claim.claim)
            hold.stop(Stop.FENCED)


class _LoopWatch:
    """Counts rounds over which the event loop did not move."""

    def __init__(self) -> None:
        self._ticks = -1
        self._still = 0
        self._looked_at = time.monotonic()

    def look(self, ticks: int, now: float) -> None:
        if now - self._looked_at < TICK_SECONDS * 2:
            return  # a round asked for early says nothing: the loop ticks each second
        paused = now - self._looked_at > 2 * PERIOD_SECONDS  # the process itself was stopped
        moved = ticks != self._ticks
        self._still = 0 if moved or paused else self._still + 1
        self._ticks, self._looked_at = ticks, now
        if self._still >= _HUNG_ROUNDS:
            _die_hung()


def _die_hung() -> None:
    log.critical("worker.hung", rounds=_HUNG_ROUNDS, period_seconds=PERIOD_SECONDS)
    faulthandler.dump_traceback(file=sys.__stderr__ or 2, all_threads=True)
    _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
