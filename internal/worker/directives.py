"""
Directives on their way to a running agent, for as long as it takes input.

What was said and not confirmed by the agent stays in Redis, and becomes the next instruction; what
it has confirmed is told to Redis before the end of the run is, so that neither is lost nor said
twice to one session.
"""

from __future__ import annotations

import asyncio

from internal.agent.run import AgentRun
from internal.errors import Fenced
from internal.task.event import new_event
from internal.worker.patience import until_answered
from internal.worker.run import Run

_TEXT_CHARACTERS = 16 * 1024  # of a directive, as its event shows it


class Courier:
    """Between one running agent and Redis; `run` it beside the reading of its output."""

    def __init__(self, started: AgentRun, run: Run) -> None:
        self._agent = started
        self._speech = started.speech
        self._run = run
        self._texts: dict[str, str] = {}
        self._told = 0
        self._is_over = False

    async def run(self) -> None:
        """Tell the agent what comes for it, until `conclude`."""
        while not self._is_over:
            await _any_of(self._speech.changed, self._run.hold.told)
            self._speech.changed.clear()
            self._run.hold.told.clear()
            if self._speech.was_open and not self._is_over:
                try:
                    await self._exchange(takes_input=self._speech.takes_input)
                except Fenced:
                    return  # the heartbeat ends the run

    async def conclude(self, running: asyncio.Task[None]) -> None:
        """
        The agent's output has ended: end *running*, and tell what it has heard. Raises Fenced.
        """
        self._is_over = True
        self._speech.changed.set()
        await running
        if self._speech.was_open:
            await self._exchange(takes_input=False)

    async def _exchange(self, *, takes_input: bool) -> None:
        heard = self._speech.heard
        waiting = await until_answered(
            lambda: self._run.listen(takes_input=takes_input, heard=heard)
        )
        for directive, text in waiting:
            if directive not in self._texts:
                self._texts[directive] = text
                self._speech.say(directive, text)
        for directive in heard[self._told :]:
            text = self._agent.clean(self._texts[directive])[:_TEXT_CHARACTERS]
            told = {"id": directive, "delivery": "delivered", "text": text}
            self._run.recorder.add(new_event("control", "directive", told))
        self._told = len(heard)


async def _any_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waiting:
            wait.cancel()
