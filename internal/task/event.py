"""
The events of a task: one envelope `{id, type, event, data, ts}` everywhere.

Numbers and times are given by the script that stores them; here are the names and the data members
of what a worker writes. Agent events keep the kinds of `internal.agent.model`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from internal.agent.model import AgentEvent

RAW_LIMIT_BYTES = 16 * 1024
"""A CLI's own line beyond this is left out of the event."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

FINAL_EVENTS = frozenset(
    {
        ("result", "task_completed"),
        ("system", "task_failed"),
        ("git", "pr_created"),
        ("git", "pr_failed"),
    }
)
"""Exactly one of these ends every run."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event before it has a number: `data` is a JSON object as text."""

    type: str
    event: str
    data: str

    @property
    def size(self) -> int:
        return len(self.data)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the log: its number, and the envelope as it is stored and sent."""

    number: int
    envelope: str


def new_event(type_: str, event: str, data: Mapping[str, Any]) -> NewEvent:
    """An event of our own (system, git), encoded."""
    return NewEvent(type_, event, encode(data))


def from_agent(event: AgentEvent) -> NewEvent:
    """An agent's event as `stream/<kind>`; `raw` is left out when it is over 16 KiB."""
    data = encode(event.data)
    if event.raw is not None:
        raw = encode(event.raw)
        if len(raw) <= RAW_LIMIT_BYTES:
            data = f'{data[:-1]}{"," if len(data) > 2 else ""}"raw":{raw}}}'
    return NewEvent("stream", event.kind.value, data)


def encode(value: Any) -> str:
    """Compact JSON; lone surrogates (from broken output) become question marks."""
    return _ENCODER.encode(value).encode("utf-8", "replace").decode("utf-8")
