"""What clients see of webhook endpoints and deliveries; members that are not set are left out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from internal.clock import rfc3339
from internal.webhook.model import DeliveryRecord, Endpoint, PastAttempt

Json = dict[str, Any]


def endpoint_document(endpoint: Endpoint, secret: str | None = None) -> Json:
    """An endpoint, and its secret where one was just made."""
    return _set_only(
        {
            "id": endpoint.id,
            "url": endpoint.url,
            "events": sorted(endpoint.events),
            "description": endpoint.description or None,
            "created_at": rfc3339(endpoint.created_at),
            "enabled": endpoint.off is None,
            "disabled_reason": endpoint.off,
            "disabled_at": _time(endpoint.off_at),
            "failing_since": _time(endpoint.failing_since),
            "last_delivered_at": _time(endpoint.last_delivered_at),
            "old_secrets": [
                {"valid_until": rfc3339(old.valid_until)} for old in endpoint.old_secrets
            ]
            or None,
            "secret": secret,
        }
    )


def delivery_document(record: DeliveryRecord) -> Json:
    """A delivery with its last attempts, oldest first."""
    return _set_only(
        {
            "id": record.id,
            "event_id": record.event_id,
            "event": record.event,
            "task_id": record.task_id,
            "endpoint_id": record.endpoint,
            "url": record.url or None,
            "status": record.status,
            "reason": record.reason or None,
            "created_at": rfc3339(record.created_at),
            "next_attempt_at": _time(record.due_at),
            "attempt_count": record.attempts,
            "attempts": [_attempt(past) for past in record.log],
        }
    )


def _attempt(past: PastAttempt) -> Json:
    return _set_only(
        {
            "number": past.number,
            "id": past.id,
            "at": rfc3339(past.at),
            "reason": past.reason,
            "status": past.status,
            "seconds": past.seconds,
            "answer": past.answer or None,
        }
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _set_only(members: Mapping[str, Any]) -> Json:
    return {name: value for name, value in members.items() if value is not None}
