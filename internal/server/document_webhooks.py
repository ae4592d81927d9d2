"""What clients see of webhook endpoints and deliveries; members that are not set are left out."""

from __future__ import annotations

from internal.clock import rfc3339
from internal.server.document import Json, set_only, time_or_none
from internal.webhook.model import DeliveryRecord, Endpoint, PastAttempt


def endpoint_document(endpoint: Endpoint, secret: str | None = None) -> Json:
    """An endpoint, and its secret where one was just made."""
    return set_only(
        {
            "id": endpoint.id,
            "url": endpoint.url,
            "events": sorted(endpoint.events),
            "description": endpoint.description or None,
            "created_at": rfc3339(endpoint.created_at),
            "enabled": endpoint.off is None,
            "disabled_reason": endpoint.off,
            "disabled_at": time_or_none(endpoint.off_at),
            "failing_since": time_or_none(endpoint.failing_since),
            "last_delivered_at": time_or_none(endpoint.last_delivered_at),
            "old_secrets": [
                {"valid_until": rfc3339(old.valid_until)} for old in endpoint.old_secrets
            ]
            or None,
            "secret": secret,
        }
    )


def delivery_document(record: DeliveryRecord) -> Json:
    """A delivery with its last attempts, oldest first."""
    return set_only(
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
            "next_attempt_at": time_or_none(record.due_at),
            "attempt_count": record.attempts,
            "attempts": [_attempt(past) for past in record.log],
        }
    )


def _attempt(past: PastAttempt) -> Json:
    return set_only(
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
