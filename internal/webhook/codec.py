"""Between Redis' strings and what the package speaks in: endpoints, deliveries, attempts. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from internal.clock import from_millis
from internal.webhook.model import (
    Attempt,
    DeliveryRecord,
    Endpoint,
    EventType,
    Off,
    OldSecret,
    PastAttempt,
    Progress,
)


def encode_attempt(attempt: Attempt) -> str:
    """An attempt as JSON members that begin with a comma; SETTLE puts number and time in front."""
    members = {
        "id": attempt.id,
        "reason": attempt.reason,
        "status": attempt.status,
        "seconds": round(attempt.seconds, 3),
        "answer": attempt.answer,
    }
    return f",{json.dumps(members)[1:-1]}"


def encode_events(events: frozenset[EventType]) -> str:
    """Event types as the scripts search them."""
    return " ".join(sorted(events))


def decode_endpoint(fields: Mapping[str, str]) -> Endpoint:
    """The record of an endpoint that is there."""
    revision = int(fields["revision"])
    ends = [
        int(fields[f"until:{old}"])
        for old in range(revision - 1, 0, -1)
        if f"until:{old}" in fields
    ]
    return Endpoint(
        id=fields["id"],
        url=fields["url"],
        events=frozenset(map(EventType, fields["events"].split())),
        description=fields["description"],
        created_at=from_millis(int(fields["created_at"])),
        revision=revision,
        old_secrets=tuple(OldSecret(valid_until=from_millis(millis)) for millis in ends),
        off=Off(fields["off"]) if "off" in fields else None,
        off_at=_time(fields.get("off_at")),
        failing_since=_time(fields.get("failing_since")),
        last_delivered_at=_time(fields.get("last_delivered_at")),
    )


def decode_delivery(
    fields: Mapping[str, str], endpoint_url: str | None, due_millis: float | None
) -> DeliveryRecord:
    """The record of a delivery; *endpoint_url* is where its endpoint is now."""
    log = [_past(text) for name, text in fields.items() if name.startswith("attempt:")]
    return DeliveryRecord(
        id=fields["id"],
        event_id=fields["event_id"],
        event=fields["event"],
        task_id=fields["task_id"],
        endpoint=fields["endpoint"] or None,
        url=endpoint_url or fields["url"],
        status=Progress(fields.get("status", Progress.PENDING)),
        reason=fields.get("last_reason", ""),
        created_at=from_millis(int(fields["created_at"])),
        due_at=None if due_millis is None else from_millis(int(due_millis)),
        attempts=int(fields["attempts"]),
        log=tuple(sorted(log, key=lambda past: past.number)),
    )


def _past(text: str) -> PastAttempt:
    row = json.loads(text)
    return PastAttempt(
        number=row["number"],
        id=row["id"],
        at=from_millis(row["at"]),
        reason=row["reason"],
        status=row["status"],
        seconds=row["seconds"],
        answer=row["answer"],
    )


def _time(millis: str | None) -> datetime | None:
    return None if millis is None else from_millis(int(millis))
