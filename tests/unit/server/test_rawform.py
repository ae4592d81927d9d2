"""The Go server's form of events."""

from __future__ import annotations

import json
from typing import Any

from internal.server.rawform import raw_form
from internal.task.event import StoredEvent, encode


def stored(type_: str, event: str, data: Any) -> StoredEvent:
    members = {"id": 7, "type": type_, "event": event, "data": data, "ts": "t"}
    return StoredEvent(7, encode(members))


def test_an_agents_event_becomes_what_its_cli_printed() -> None:
    """
    The CLI's own object is the data of a stream/output.
    """
    text = raw_form(stored("stream", "text", {"text": "hi", "raw": {"type": "assistant"}}))

    assert json.loads(text or "") == {
        "id": 7,
        "type": "stream",
        "event": "output",
        "data": {"type": "assistant"},
        "ts": "t",
    }


def test_an_agents_event_without_its_line_is_left_out() -> None:
    """
    One line can be several events; only the first of them carries it.
    """
    assert raw_form(stored("stream", "tool_use", {"id": "1"})) is None


def test_other_events_stay_as_they_are() -> None:
    """
    What is not an agent's has the same form in both.
    """
    for event in (
        stored("system", "state", {"from": "a", "to": "b"}),
        stored("stream", "truncated", {"dropped_bytes": 1, "dropped_events": 1}),
        stored("result", "task_completed", {"result": "x"}),
    ):
        assert raw_form(event) == event.envelope
