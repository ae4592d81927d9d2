"""
One attempt: a signed POST through the egress client, and what its answer means.

A delivery counts as delivered when a whole answer with 2xx came within 15 s. Redirects are
failures: the receiver that was registered is the one that is called. 410 means that it wants no
more.
"""

from __future__ import annotations

from datetime import datetime

from internal.clock import Clock
from internal.egress.client import Answer, HttpClient
from internal.egress.retryafter import retry_after_seconds
from internal.errors import Invalid, PolicyDenied, TimedOut, Unavailable
from internal.ids import sortable_id
from internal.telemetry import semconv
from internal.telemetry.tracing import Value, continue_from, span
from internal.webhook.model import Attempt, Delivery, Verdict
from internal.webhook.signer import Signer

ATTEMPT_SECONDS = 15.0
"""Limit of one attempt, from the name's resolution to the last byte of the answer."""


class Sender:
    """Sends deliveries; knows nothing of when or how often."""

    def __init__(
        self,
        client: HttpClient,
        signer: Signer,
        clock: Clock,
        *,
        version: str,
        attempt_seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        self._client = client
        self._signer = signer
        self._clock = clock
        self._user_agent = f"CodeForge-Webhooks/{version}"
        self._attempt_seconds = attempt_seconds

    async def send(self, delivery: Delivery) -> Attempt:
        """Attempt *delivery* once. Whatever the other side does, the result is an `Attempt`."""
        attributes: dict[str, Value] = {
            semconv.TASK_ID: delivery.task_id,
            semconv.WEBHOOK_EVENT: delivery.event,
            semconv.ATTEMPT: delivery.attempts + 1,
        }
        with (
            continue_from(delivery.traceparent),
            span("webhook.deliver", **attributes) as current,
        ):
            attempt = await self._attempt(delivery)
            if attempt.verdict is not Verdict.DELIVERED:
                current.fail(attempt.reason)
            return attempt

    async def _attempt(self, delivery: Delivery) -> Attempt:
        body = delivery.body.encode()
        try:
            answer = await self._client.request(
                "POST",
                delivery.url,
                headers=self._headers(delivery, body),
                content=body,
                total_seconds=self._attempt_seconds,
            )
        except TimedOut as error:
            return Attempt(
                verdict=Verdict.FAILED, reason="timeout", detail=error.message, timed_out=True
            )
        except PolicyDenied as error:
            # Tried again: the operator may permit it, or repair a name that points inside.
            return Attempt(verdict=Verdict.FAILED, reason="policy_denied", detail=error.message)
        except Unavailable as error:
            return Attempt(verdict=Verdict.FAILED, reason="unreachable", detail=error.message)
        except Invalid as error:
            return Attempt(verdict=Verdict.REFUSED, reason="invalid_url", detail=error.message)
        return _judge(answer, self._clock.now())

    def _headers(self, delivery: Delivery, body: bytes) -> dict[str, str]:
        timestamp = int(self._clock.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": self._user_agent,
            "X-Signature-256": self._signer.body_signature(body),
            "X-CodeForge-Event": delivery.event,
            "X-CodeForge-Delivery": f"dlv_{sortable_id()}",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self._signer.standard_signature(delivery.id, timestamp, body),
        }
        if delivery.trace_id:
            headers["X-Trace-ID"] = delivery.trace_id
        return headers


def _judge(answer: Answer, now: datetime) -> Attempt:
    if 200 <= answer.status < 300:
        verdict = Verdict.DELIVERED
    elif answer.status == 410:
        verdict = Verdict.REFUSED
    else:
        verdict = Verdict.FAILED
    return Attempt(
        verdict=verdict,
        reason=f"http_{answer.status}",
        status=answer.status,
        retry_after_seconds=retry_after_seconds(answer.headers.get("retry-after", ""), now),
    )
