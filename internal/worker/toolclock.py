"""
How long tool calls take: from the event that begins one to the event with its result.

A call that never gets a result ends with the turn it belongs to. Nested calls (a sub-agent's)
count each for itself, so a call is never shorter than what it calls.
"""

from __future__ import annotations

from collections.abc import Callable

from internal.agent.model import AgentEvent, EventKind

_MOST_CALLS = 256
_LONGEST_ID = 256
"""Both far beyond real runs; a flood shall not fill the memory."""


class ToolClock:
    """*now* is the time of the run in seconds, in which its tree was not frozen."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._open: dict[str, float] = {}

    def see(self, event: AgentEvent) -> None:
        """Take note of an event."""
        if event.kind is EventKind.RESULT:
            self._open.clear()
        call = event.data.get("id")
        if not isinstance(call, str) or not 0 < len(call) <= _LONGEST_ID:
            return
        if event.kind is EventKind.TOOL_USE and len(self._open) < _MOST_CALLS:
            self._open.setdefault(call, self._now())
        elif event.kind is EventKind.TOOL_RESULT:
            self._open.pop(call, None)

    def longest(self) -> float:
        """Seconds that the oldest call without a result takes; 0.0 when there is none."""
        oldest = next(iter(self._open.values()), None)
        return 0.0 if oldest is None else max(0.0, self._now() - oldest)
