"""
Deliveries, and what one attempt told us.

Pure. A delivery is one event for one URL. It is written to the outbox by the script that ends the
run, together with its exact body, so no event is lost and no body changes between attempts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """
    A claimed delivery.

    `id` is the event's id, the same over all attempts: the receiver's key against duplicates.
    `token` is this claim's; only with it can the claim be settled. `endpoint` is scheme, host and
    port of `url`, the only part of it that may be logged: paths of webhooks often are secrets.
    """

    id: str
    tenant: str
    task_id: str
    url: str
    event: str
    body: str
    trace_id: str | None
    traceparent: str | None
    """The span of the request whose run this tells of."""
    attempts: int
    """Attempts settled before this one."""
    endpoint: str
    token: str


class Verdict(StrEnum):
    """What an attempt means for its delivery."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """It may be tried again."""
    REFUSED = "refused"
    """It will never be taken: trying again is pointless or unwelcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    How one attempt ended.

    `reason` is a short code or `http_<status>`; `detail` a sentence for the operator's log. Neither
    holds anything of the body, the path or the answer.
    """

    verdict: Verdict
    reason: str
    detail: str = ""
    status: int | None = None
    retry_after_seconds: float | None = None
    timed_out: bool = False
