"""
How much of an agent's output becomes events: whole at first, then briefly, then only the end.

An agent can print gigabytes. What is dropped is dropped before it is searched for secrets or
numbered, so a flood is cheap and leaves no hole in the log. Pure: events in, events out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from internal.agent.clip import Change, clean, coarse, event_bytes
from internal.agent.model import AgentEvent, EventKind

BRIEF_EVENT_BYTES = 256
BRIEF_BYTES = 1024 * 1024
TAIL_BYTES = 256 * 1024

_BRIEFLY = frozenset({EventKind.TEXT, EventKind.TOOL_USE})


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLimits:
    """Bytes of JSON without envelopes: all events of a run, and the data of one."""

    max_bytes: int = 4 * 1024 * 1024
    max_event_bytes: int = 64 * 1024


class EventBudget:
    """
    The budget of one run. Up to `max_bytes` every event is given; past that `text` and `tool_use`
    cut to 256 bytes, up to 1 MiB more; and at the end one `truncated` and the last 256 KiB of
    what was held back.
    """

    def __init__(self, limits: EventLimits, redact: Change) -> None:
        self._limits = limits
        self._redact = redact
        self._left = limits.max_bytes
        self._brief_left = 0
        self._held: deque[tuple[AgentEvent, int, int]] = deque()
        self._held_bytes = 0
        self._dropped_bytes = 0
        self._dropped_events = 0

    def admit(self, event: AgentEvent, line_bytes: int) -> AgentEvent | None:
        """
        What to give of *event* now, redacted and cut; None when it is held back or dropped.

        *line_bytes* is its share of the line it came from, the measure of what is dropped.
        """
        if line_bytes > self._limits.max_event_bytes:
            event = coarse(event, limit_bytes=self._limits.max_event_bytes)
        if self._left > 0:
            whole = clean(event, limit_bytes=self._limits.max_event_bytes, redact=self._redact)
            self._left -= event_bytes(whole)
            if self._left >= 0:
                return whole
            self._brief_left = BRIEF_BYTES
        if self._brief_left > 0 and event.kind in _BRIEFLY:
            brief = self._shorten(event)
            size = event_bytes(brief)
            self._brief_left -= size
            if self._brief_left >= 0:
                self._dropped_bytes += max(0, line_bytes - size)
                return brief
        self._hold(event, line_bytes)
        return None

    def tail(self) -> list[AgentEvent]:
        """
        The end of the run: `truncated` when anything was dropped, then the last of what was held
        back.
        """
        kept: list[AgentEvent] = []
        left = TAIL_BYTES
        while self._held and left > 0:
            event, line_bytes, _ = self._held.pop()
            whole = clean(event, limit_bytes=self._limits.max_event_bytes, redact=self._redact)
            left -= event_bytes(whole)
            if left >= 0:
                kept.append(whole)
            else:
                self._drop(line_bytes)
        while self._held:
            self._drop(self._held.pop()[1])
        if self._dropped_bytes or self._dropped_events:
            kept.append(self._truncated())
        return kept[::-1]

    def _shorten(self, event: AgentEvent) -> AgentEvent:
        bare = replace(event, raw=None)
        return clean(bare, limit_bytes=BRIEF_EVENT_BYTES, redact=self._redact)

    def _hold(self, event: AgentEvent, line_bytes: int) -> None:
        # At least a little, so that millions of empty events do not stay.
        weight = min(max(line_bytes, 64), self._limits.max_event_bytes)
        self._held.append((event, line_bytes, weight))
        self._held_bytes += weight
        while self._held_bytes - self._held[0][2] > TAIL_BYTES:
            _, oldest_bytes, oldest_weight = self._held.popleft()
            self._held_bytes -= oldest_weight
            self._drop(oldest_bytes)

    def _drop(self, line_bytes: int) -> None:
        self._dropped_bytes += line_bytes
        self._dropped_events += 1

    def _truncated(self) -> AgentEvent:
        counts = {"dropped_bytes": self._dropped_bytes, "dropped_events": self._dropped_events}
        return AgentEvent(kind=EventKind.TRUNCATED, data=counts)
