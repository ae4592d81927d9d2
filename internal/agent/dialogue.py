"""
What is said to a running agent, and when its stdin ends.

Most programs in the place of a CLI read stdin to its end before they do anything, so stdin stays
open only where the program's `--version` names the CLI, and only until its first lines have had
time to say that it takes more. It ends with the result, or the process would never end.
"""

from __future__ import annotations

import asyncio

from internal.agent.base import Dialogue
from internal.process.supervise import AgentProcess

PATIENCE_SECONDS = 3.0
"""For the first lines, which take 0.3 s; behind it the run goes on as one that takes no input."""

_INTERRUPT_SECONDS = 5.0


class Speech:
    """The worker's side of one dialogue; `changed` is set whenever there is news in it."""

    def __init__(self, process: AgentProcess, dialogue: Dialogue | None) -> None:
        """*dialogue* is None when stdin ends behind the prompt."""
        self.changed = asyncio.Event()
        self.was_open = False
        """Whether the agent has ever said that it takes input."""
        self._was_waited_for = False
        self._process = process
        self._dialogue = dialogue
        self._known: tuple[bool, int] = (False, 0)
        self._impatience: asyncio.TimerHandle | None = None
        if dialogue is not None:
            loop = asyncio.get_running_loop()
            self._impatience = loop.call_later(PATIENCE_SECONDS, self._lose_patience)

    @property
    def takes_input(self) -> bool:
        """Whether the agent says that it takes input now."""
        return self._dialogue is not None and self._dialogue.is_open

    @property
    def is_deaf(self) -> bool:
        """Whether it was waited for in vain: the program only looked like one that takes input."""
        return self._was_waited_for and self._dialogue is not None and not self._dialogue.confirms

    @property
    def heard(self) -> tuple[str, ...]:
        """Ids of the directives that the agent has taken up, oldest first."""
        return () if self._dialogue is None else tuple(self._dialogue.heard)

    def follow(self) -> None:
        """A line was parsed: note what is new in it."""
        if self._dialogue is None:
            return
        self.was_open = self.was_open or self._dialogue.is_open
        if self._dialogue.is_over:
            self.end()
        now = (self.takes_input, len(self._dialogue.heard))
        if now != self._known:
            self._known = now
            self.changed.set()

    def say(self, directive: str, text: str) -> None:
        """Send *text* under an id; nothing happens when the agent takes no input any more."""
        if self._dialogue is not None and self._dialogue.is_open:
            self._process.write_stdin(self._dialogue.say(directive, text))

    async def interrupt(self) -> bool:
        """Ask the agent to stop where it is; whether it ended within some seconds."""
        if self._dialogue is None or not self._dialogue.is_open:
            return False
        self._process.write_stdin(self._dialogue.interrupt())
        self.end()
        ended = asyncio.ensure_future(self._process.wait())
        await asyncio.wait({ended}, timeout=_INTERRUPT_SECONDS)
        if ended.done():
            return True
        ended.cancel()
        return False

    def end(self) -> None:
        """Close stdin; what was sent is still read."""
        if self._impatience is not None:
            self._impatience.cancel()
        self._process.close_stdin()

    def _lose_patience(self) -> None:
        if self._dialogue is not None and not self._dialogue.is_open:
            self._was_waited_for = True
            self._dialogue.give_up()
            self.end()
