"""
One attempt: a signed POST through the egress client, and what its answer means.

A delivery counts as delivered when a whole answer with 2xx came within 15 s. Redirects are
failures: the receiver that was registered is the one that is called. 410 means that it wants no
more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from internal.clock import Clock
from internal.crypto.box import SealBroken
from internal.egress.client import Answer, HttpClient
from internal.egress.retryafter import retry_after_seconds
from internal.errors import Invalid, PolicyDenied, TimedOut, Unavailable
from internal.ids import sortable_id
from internal.redact import Redactor
from internal.telemetry import semconv
from internal.telemetry.tracing import Value, continue_from, span
from internal.webhook.model import Attempt, Delivery, Verdict
from internal.webhook.secrets import SigningSecrets
from internal.webhook.signer import Signer

ATTEMPT_SECONDS = 15.0
"""Limit of one attempt, from the name's resolution to the last byte of the answer."""

_KEPT_ANSWER_BYTES = 1024


class Sender:
    """Sends deliveries; knows nothing of when or how often."""

    def __init__(
        self,
        client: HttpClient,
        secrets: SigningSecrets,
        clock: Clock,
        *,
        version: str,
        attempt_seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        self._client = client
        self._secrets = secrets
        self._clock = clock
        self._user_agent = f"CodeForge-Webhooks/{version}"
        self._attempt_seconds = attempt_seconds

    async def send(self, delivery: Delivery) -> Attempt:
        """Attempt *delivery* once. Whatever the other side does, the result is an `Attempt`."""
        began = self._clock.monotonic()
        attempt_id = f"dlv_{sortable_id()}"
        attributes: dict[str, Value] = {
            semconv.TASK_ID: delivery.task_id,
            semconv.WEBHOOK_EVENT: delivery.event,
            semconv.ATTEMPT: delivery.tries + 1,
        }
        with (
            continue_from(delivery.traceparent),
            span("webhook.deliver", **attributes) as current,
        ):
            attempt = await self._attempt(delivery, attempt_id)
            if attempt.verdict is not Verdict.DELIVERED:
                current.fail(attempt.reason)
        return replace(attempt, id=attempt_id, seconds=self._clock.monotonic() - began)

    async def _attempt(self, delivery: Delivery, attempt_id: str) -> Attempt:
        try:
            secrets = self._secrets.of(delivery)
        except SealBroken as error:
            # Tried again: the operator may have forgotten a master key.
            return _failed("secret_unreadable", error.message)
        body = delivery.body.encode()
        headers = self._headers(delivery, attempt_id)
        headers |= self._signatures(delivery, body, Signer(secrets[0], secrets[1:]))
        try:
            answer = await self._client.request(
                "POST",
                delivery.url,
                headers=headers,
                content=body,
                total_seconds=self._attempt_seconds,
            )
        except TimedOut as error:
            return replace(_failed("timeout", error.message), timed_out=True)
        except PolicyDenied as error:
            # Tried again: the operator may permit it, or repair a name that points inside.
            return _failed("policy_denied", error.message)
        except Unavailable as error:
            return _failed("unreachable", error.message)
        except Invalid as error:
            return Attempt(verdict=Verdict.REFUSED, reason="invalid_url", detail=error.message)
        return _judge(answer, self._clock.now(), Redactor(secrets))

    def _headers(self, delivery: Delivery, attempt_id: str) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": self._user_agent,
            "X-CodeForge-Event": delivery.event,
            "X-CodeForge-Delivery": attempt_id,
        }
        if delivery.trace_id:
            headers["X-Trace-ID"] = delivery.trace_id
        return headers

    def _signatures(self, delivery: Delivery, body: bytes, signer: Signer) -> dict[str, str]:
        # Of Redis' clock: receivers refuse what is minutes off, and ours may be.
        signature = signer.standard_signature(delivery.event_id, delivery.claimed_at, body)
        return {
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(delivery.claimed_at),
            "webhook-signature": signature,
            "X-Signature-256": signer.body_signature(body),
        }


def _failed(reason: str, detail: str) -> Attempt:
    return Attempt(verdict=Verdict.FAILED, reason=reason, detail=detail)


def _judge(answer: Answer, now: datetime, redactor: Redactor) -> Attempt:
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
        answer=_kept(answer.body, redactor),
        retry_after_seconds=retry_after_seconds(answer.headers.get("retry-after", ""), now),
    )


def _kept(body: bytes, redactor: Redactor) -> str:
    """The begin of an answer, for whoever looks for the fault: no secrets, nothing unprintable."""
    # Redacted before it is cut: half a secret is not found.
    text = redactor.redact(body[: 2 * _KEPT_ANSWER_BYTES].decode(errors="replace"))
    shown = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)
    return shown.encode()[:_KEPT_ANSWER_BYTES].decode(errors="ignore")
