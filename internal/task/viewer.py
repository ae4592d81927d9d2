"""
One viewer of one task's log: history joined to what comes live, without a gap or a repeat.

The log in Redis is the truth; what Pub/Sub brings is a doorbell that happens to carry the event. So
a viewer keeps the number it has shown last, takes a live event only when it is the next one, and
reads the log whenever it cannot be sure: at the start, after a subscription was confirmed, after a
hole, and when it was too slow for its queue. Nothing here talks to Redis; the hub gives the reader.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from internal.errors import Unavailable
from internal.task.event import StoredEvent
from internal.task.state import FINISHED, State

PAGE_EVENTS = 500
"""Most events of one look into the log."""

_QUEUE_EVENTS = 64
_RETRY_SECONDS = 2
"""How long a viewer waits after a failed read, unless something wakes it before."""


@dataclass(frozen=True, slots=True)
class Page:
    """A look into the log: the task as it was then, and the events behind the cursor."""

    status: State
    last: int
    """Number of the newest event."""
    changes: str | None
    """The task's changes summary as JSON text."""
    events: Sequence[StoredEvent]


@dataclass(frozen=True, slots=True)
class Events:
    """The next events, in order, each exactly once."""

    events: Sequence[StoredEvent]


@dataclass(frozen=True, slots=True)
class Reset:
    """The log is shorter than what was shown; forget all of it, it begins again at 1."""


@dataclass(frozen=True, slots=True)
class Done:
    """The task is finished and everything up to its final event was shown."""

    status: State
    changes: str | None


@dataclass(frozen=True, slots=True)
class Closed:
    """No more from here, although the task may go on: why."""

    reason: str


Shown: TypeAlias = Events | Reset | Done | Closed
Read: TypeAlias = Callable[[int], Awaitable[Page | None]]
"""Reads the log behind a number; None when there is no such task. Raises Unavailable."""


class Listener(Protocol):
    """What the hub tells about one channel."""

    def offer(self, event: StoredEvent, *, is_final: bool) -> None:
        """An event came by."""
        ...

    def mark(self) -> None:
        """Something may have been missed: look into Redis."""
        ...

    def close(self, reason: str) -> None:
        """Nothing more will come from this hub."""
        ...


class Bell:
    """A listener that wants to know only that something happened."""

    def __init__(self) -> None:
        self.closed: str | None = None
        self._rung = asyncio.Event()

    def offer(self, event: StoredEvent, *, is_final: bool) -> None:
        if is_final:
            self._rung.set()

    def mark(self) -> None:
        self._rung.set()

    def close(self, reason: str) -> None:
        self.closed = reason
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Until the next ring; False when there was none in *seconds*."""
        if not self._rung.is_set():
            try:
                async with asyncio.timeout(max(seconds, 0)):
                    await self._rung.wait()
            except TimeoutError:
                return False
        self._rung.clear()
        return True


class Viewer:
    """Shows one task's events behind a number. One reader; its memory is bounded."""

    def __init__(self, read: Read, *, after: int) -> None:
        self._read = read
        self._cursor = after
        self._queue: deque[tuple[StoredEvent, bool]] = deque()
        self._behind = True
        self._end: Done | Closed | None = None
        self._bell = Bell()

    def offer(self, event: StoredEvent, *, is_final: bool) -> None:
        """Take a live event; a full queue is given up for a look into the log."""
        if not self._behind:
            self._queue.append((event, is_final))
            if len(self._queue) > _QUEUE_EVENTS:
                self.mark()
        self._bell.mark()

    def mark(self) -> None:
        """Look into the log before the next event."""
        self._queue.clear()
        self._behind = True
        self._bell.mark()

    def close(self, reason: str) -> None:
        """End this viewer: `next` answers `Closed` from now on."""
        self._end = Closed(reason)
        self._bell.mark()

    async def next(self, seconds: float) -> Shown | None:
        """What to show next, or None when there was nothing for *seconds*."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self._end is None:
            pause = deadline - loop.time()
            try:
                shown = await self._look() if self._behind else self._take()
            except Unavailable:
                shown, pause = None, min(pause, _RETRY_SECONDS)
            if shown is not None:
                return shown
            # Whatever changed since has rung the bell, so this waits only when nothing did.
            if not await self._bell.wait(pause) and loop.time() >= deadline:
                return None
        return self._end

    def _take(self) -> Events | None:
        events: list[StoredEvent] = []
        while self._queue:
            event, is_final = self._queue.popleft()
            if event.number > self._cursor + 1:
                self.mark()
            elif event.number == self._cursor + 1:
                events.append(event)
                self._cursor = event.number
                if is_final:  # whether this was the end, only the task itself can tell
                    self.mark()
        return Events(events) if events else None

    async def _look(self) -> Shown | None:
        """Read the log once. Raises Unavailable; it is to be tried again then."""
        self._queue.clear()
        self._behind = False  # what comes while we read is kept in the queue
        try:
            page = await self._read(self._cursor)
        except Unavailable:
            self._behind = True
            raise
        if page is None:
            self._end = Closed("deleted")
            return self._end
        if page.last < self._cursor:
            self._cursor = 0
            self.mark()
            return Reset()
        if page.events:
            self._cursor = page.events[-1].number
        is_whole = self._cursor >= page.last
        if not is_whole:
            self._behind = True
            if not page.events:
                raise Unavailable("The events of the task are not there yet.")
        elif page.status in FINISHED:
            self._end = Done(page.status, page.changes)
        return Events(page.events) if page.events else self._end
