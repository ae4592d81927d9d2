"""
Events, deliveries, registered endpoints, and what one attempt told us.

Pure. An *event* is something that happened to a task; a *delivery* is one event for one URL. It is
written to the outbox by the script that changes the task, together with its exact body, so no event
is lost and no body changes between attempts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class EventType(StrEnum):
    """What a registered endpoint can choose. A `callback_url` gets the first three."""

    COMPLETED = "task.completed"
    FAILED = "task.failed"
    PR_CREATED = "task.pr_created"
    AWAITING_INSTRUCTION = "task.awaiting_instruction"
    WARNED = "escalation.warned"
    THROTTLED = "escalation.throttled"
    ISOLATED = "escalation.isolated"
    STOPPED = "escalation.stopped"
    RELEASED = "escalation.released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """
    A claimed delivery.

    `event_id` is the same over all attempts and all destinations: the receiver's key against
    duplicates. `token` is this claim's; only with it can the claim be settled.
    """

    id: str
    event_id: str
    tenant: str
    task_id: str
    url: str = field(repr=False)
    event: str
    body: str = field(repr=False)
    trace_id: str | None
    traceparent: str | None
    """The span of the request whose run this tells of."""
    tries: int
    """Attempts settled before this one, since it was posted or asked for again."""
    endpoint: str | None
    """The registered endpoint it is for; None for a `callback_url`."""
    sealed_secrets: tuple[str, ...] = field(repr=False)
    """The endpoint's secrets that are valid now, the newest first."""
    origin: str
    """Scheme, host and port of `url`: all of it that is logged, as its path often is a secret."""
    destination: str
    """Tenant and endpoint, or tenant and origin: what shares places and a breaker."""
    token: str
    claimed_at: int
    """Seconds since 1970 by Redis' clock: the time that its signature covers."""


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

    `id` is what the receiver got as `X-CodeForge-Delivery`. `reason` is a short code or
    `http_<status>`; `detail` a sentence for the operator's log; neither holds anything of the body,
    the path or the answer. `answer` is the begin of the answer's body, without secrets.
    """

    verdict: Verdict
    reason: str
    id: str = ""
    detail: str = ""
    status: int | None = None
    answer: str = ""
    seconds: float = 0
    retry_after_seconds: float | None = None
    timed_out: bool = False

    @property
    def wants_no_more(self) -> bool:
        """Whether the receiver said that it is gone for good."""
        return self.status == 410


class Off(StrEnum):
    """Why an endpoint gets nothing."""

    OPERATOR = "operator"
    """Somebody switched it off."""
    GONE = "gone"
    """It answered 410."""
    FAILING = "failing"
    """It did nothing but fail for days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldSecret:
    """A secret that was replaced and still signs, until then."""

    valid_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A registered endpoint, as it may be shown: its secrets are not in here."""

    id: str
    url: str
    events: frozenset[EventType]
    description: str
    created_at: datetime
    revision: int
    """Number of its secrets so far."""
    old_secrets: tuple[OldSecret, ...] = ()
    off: Off | None = None
    off_at: datetime | None = None
    failing_since: datetime | None = None
    last_delivered_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAttempt:
    """One row of a delivery's log."""

    number: int
    id: str
    at: datetime
    reason: str
    status: int | None
    seconds: float
    answer: str


class Progress(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """A delivery as it is listed, with its last attempts, oldest first."""

    id: str
    event_id: str
    event: str
    task_id: str
    endpoint: str | None
    url: str
    status: Progress
    reason: str
    """How the last attempt ended, or why there was none; "" before the first."""
    created_at: datetime
    due_at: datetime | None
    """When it is tried next; None when it has ended."""
    attempts: int
    log: tuple[PastAttempt, ...]
