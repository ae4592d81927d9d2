"""
An agent under way: its events go to the log, its directives to it, and whatever ends it is heard.

Its `Hold`, a limit, a budget or its own repeats may end it, whichever comes first; what it shows on
the way is noted as a signal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from internal.agent.model import AgentResult, Ending
from internal.agent.run import AgentRun
from internal.clock import Clock
from internal.control.budget import TOOL_SECONDS, Standing
from internal.control.escalation import Signal
from internal.task.event import from_agent
from internal.worker.directives import Courier
from internal.worker.lease import Stop
from internal.worker.repeats import Repeats
from internal.worker.run import Run
from internal.worker.watchdog import LimitKind, watch

log = structlog.get_logger(__name__)

EndedBy = Stop | LimitKind | Standing
"""What ended an agent that did not end by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchNumbers:
    """From when on what a run does is a signal."""

    silence_seconds: int = 600
    """A run that was given less ended as its client wanted."""
    tool_seconds: int = 0
    """The same for one call of a tool; 0: the deployment has no limit, so only clients have."""
    repeats: int = 8
    """Identical actions in a row of which a task is warned; twice as many end it. 0: never."""
    slow_end_seconds: float = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the agent ended; `stopped` says who ended it, None when it did by itself."""

    result: AgentResult
    stopped: EndedBy | None
    log_tail: str
    frozen_seconds: float = 0.0
    repeated: tuple[str, int] | None = None
    """The tool that was called again and again, and how often, when that ended the run."""


class Supervision:
    """Of one run; `repeats` is to be shown its events."""

    def __init__(
        self, run: Run, numbers: WatchNumbers, clock: Clock, *, redact: Callable[[str], str]
    ) -> None:
        self._run = run
        self._numbers = numbers
        self._clock = clock
        self._redact = redact
        self._decided: asyncio.Future[EndedBy] = asyncio.get_running_loop().create_future()
        self.repeats = Repeats(numbers.repeats, self._note_repeats)

    async def until_ended(self, started: AgentRun) -> Ended:
        """How the agent ended, by itself or by us."""
        run = self._run
        run.hold.attach(started.process.hold_lease)
        run.spending.begin(started)
        guard = asyncio.create_task(self._guard(started))
        courier = Courier(started, run)
        carrying = asyncio.create_task(courier.run())
        try:
            await self._record_events(started)
            result = await started.result()
            await courier.conclude(carrying)
            run.spending.settle(result.usage)
        finally:
            carrying.cancel()
            run.hold.detach()
            guard.cancel()  # an ending that has begun goes on without it
            await asyncio.wait({guard})
        stopped = self._decided.result() if self._decided.done() else None
        if stopped is None and result.ending is Ending.STOPPED:
            stopped = Stop.OUTAGE  # the shim's own timer: nobody had renewed the lease
        self._note_end(started, stopped, result)
        return Ended(
            result=result,
            stopped=stopped,
            log_tail=started.stderr_tail,
            frozen_seconds=started.process.frozen_seconds(),
            repeated=self.repeats.reached.result() if stopped is LimitKind.REPEATS else None,
        )

    async def _record_events(self, started: AgentRun) -> None:
        on_answer = self._run.on_answer
        async for event in started.events():
            if on_answer is not None and started.has_answered:
                await on_answer()
                on_answer = None
            self._run.recorder.add(from_agent(event))
            await self._run.recorder.room()

    async def _guard(self, started: AgentRun) -> None:
        """Wait for a reason to end the agent, say it, and end the agent."""
        run = self._run
        watching = asyncio.create_task(watch(started.process, run.limits, self._clock))
        spending = asyncio.create_task(run.spending.watch())
        reasons: set[asyncio.Future[Any]] = {watching, spending}
        reasons |= {run.hold.stopped, self.repeats.reached}
        try:
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            spending.cancel()
        reason = _first(run.hold.stopped, watching, spending)
        self._decided.set_result(reason)
        word = reason.budget if isinstance(reason, Standing) else reason.value
        log.info("agent.ending", reason=word)
        if reason in {Stop.FENCED, Stop.OUTAGE}:
            await started.process.kill()
        elif reason is Stop.PAUSE:
            await started.interrupt(reason.value)
        else:
            await self._end(started, word)

    async def _end(self, started: AgentRun, reason: str) -> None:
        began = self._clock.monotonic()
        try:
            await started.process.end(reason)
        finally:  # the run does not wait for this when nothing is left
            took = self._clock.monotonic() - began
            if took > self._numbers.slow_end_seconds:
                self._run.signals.note(Signal.SLOW_END, seconds=round(took, 1))

    def _note_repeats(self, tool: str, times: int) -> None:
        self._run.signals.note(Signal.REPEATS, tool=self._redact(tool), times=times)

    def _note_end(self, started: AgentRun, stopped: EndedBy | None, result: AgentResult) -> None:
        signals = self._run.signals
        if stopped is LimitKind.SILENCE:
            seconds = self._run.limits.silence_seconds
            counts = seconds >= self._numbers.silence_seconds
            signals.note(Signal.SILENCE, counts=counts, seconds=seconds)
        if isinstance(stopped, Standing) and stopped.budget == TOOL_SECONDS:
            counts = 0 < self._numbers.tool_seconds <= stopped.limit
            signals.note(Signal.STUCK_TOOL, counts=counts, seconds=stopped.limit)
        if stopped is None and not result.told_result:
            signals.note(Signal.NO_RESULT)
        if started.process.survivors:
            signals.note(Signal.SURVIVORS, processes=started.process.survivors)


def _first(
    stopped: asyncio.Future[Stop],
    watching: asyncio.Future[LimitKind],
    spending: asyncio.Future[Standing],
) -> EndedBy:
    """Of those that are done; what was asked for goes before what was measured."""
    if stopped.done():
        return stopped.result()
    if watching.done():
        return watching.result()
    return spending.result() if spending.done() else LimitKind.REPEATS
