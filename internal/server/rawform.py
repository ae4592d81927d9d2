"""Events in the form of the Go server (`?format=raw`): what the agent's CLI printed, as it was."""

from __future__ import annotations

import json
from typing import Any

from internal.agent.model import EventKind
from internal.task.event import StoredEvent, encode

_AGENT_EVENTS = frozenset(EventKind) - {EventKind.TRUNCATED}


def raw_form(event: StoredEvent) -> str | None:
    """
    The envelope with the CLI's own line as data; None for an agent's event that kept no line.

    Events that are not an agent's stay as they are.
    """
    members: dict[str, Any] = json.loads(event.envelope)
    if members["type"] != "stream" or members["event"] not in _AGENT_EVENTS:
        return event.envelope
    if "raw" not in members["data"]:
        return None
    return encode({**members, "event": "output", "data": members["data"]["raw"]})


def plain_form(event: StoredEvent) -> str:
    """The envelope as it is stored."""
    return event.envelope
