"""
Deliveries waiting in Redis: claim, settle, and the doorbell that says there are new ones.

The script that changes a task writes the entries (lua/lib/post.lua). From then on a delivery is
either due at a time or leased, which is the same: a lease is a due time in the future. So a
dispatcher that dies needs no clean-up, and its deliveries are sent again, with the same event id.
Every delivery ends once, with its counter, because settling needs the token of the newest claim.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from internal.ids import random_token
from internal.rdb.keys import Keys
from internal.webhook import scripts
from internal.webhook.codec import encode_attempt
from internal.webhook.model import Attempt, Delivery, Off, Verdict
from internal.webhook.traffic import Room

_CROWD_MILLIS = 200
_BELL_SECONDS = 2
_ATTEMPTS_KEPT = 10
# As Standard Webhooks advises: days of only failures, but never for a single bad hour.
_FAILING_MILLIS = 5 * 24 * 3600 * 1000
_FAILING_ATTEMPTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Attempts at once for a destination, and for a tenant, of which no `Room` says otherwise."""

    destination: int
    tenant: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Whether an attempt was recorded, and whether its endpoint was switched off for it."""

    recorded: bool
    switched_off: Off | None = None


class Outbox:
    """The deliveries of one deployment. All methods let redis-py's errors out."""

    def __init__(self, commands: Redis, blocking: Redis, keys: Keys) -> None:
        """*blocking* is the client without a socket timeout, for the doorbell alone."""
        self._commands = commands
        self._blocking = blocking
        self._keys = keys

    async def claim(
        self, *, limit: int, lease_seconds: float, places: Places, rooms: Iterable[Room] = ()
    ) -> tuple[list[Delivery], bool]:
        """
        Lease at most *limit* due deliveries, oldest first, as far as there are places.

        The second value says whether others may be due right now. Nobody else gets a leased one
        before *lease_seconds* are over; settle it by then.
        """
        token = random_token()
        named: list[str | int] = []
        for room in rooms:
            named += [room.name, room.places, _millis(room.put_off_seconds)]
        limits = [_millis(lease_seconds), limit, places.destination, places.tenant, _CROWD_MILLIS]
        more, given, now = await scripts.CLAIM(
            self._commands, [self._keys.prefix], [token, *limits, *named]
        )
        return [_delivery(fields, token, int(now)) for fields in given], bool(more)

    async def settle(
        self, delivery: Delivery, attempt: Attempt, *, retry_in_seconds: float | None
    ) -> Settled:
        """
        Record *attempt*, and end the delivery or make it due again in *retry_in_seconds*.

        None ends it: as delivered when the attempt says so, else as failed; its record stays for 30
        days. An endpoint that is gone, or did nothing but fail for 5 days, is switched off. Not
        recorded means that the claim was another's by now, or the task was deleted: nothing was
        changed. Safe to repeat.
        """
        if attempt.verdict is Verdict.DELIVERED:
            becomes = "delivered"
        else:
            becomes = "failed" if retry_in_seconds is None else "again"
        word, *rest = await scripts.SETTLE(
            self._commands,
            [self._keys.prefix],
            [
                delivery.id,
                delivery.token,
                becomes,
                _millis(retry_in_seconds or 0),
                attempt.reason,
                encode_attempt(attempt),
                _ATTEMPTS_KEPT,
                int(attempt.wants_no_more),
                _FAILING_MILLIS,
                _FAILING_ATTEMPTS,
            ],
        )
        why = rest[0] if rest else ""
        return Settled(recorded=word != "fenced", switched_off=Off(why) if why else None)

    async def await_bell(self) -> None:
        """Return when somebody wrote a delivery, or after 2 s. A ring carries no work."""
        await cast(
            "Awaitable[object]", self._blocking.blpop([self._keys.outbox_bell()], _BELL_SECONDS)
        )


def _delivery(fields: Sequence[str | None], token: str, claimed_at: int) -> Delivery:
    texts = [text or "" for text in fields]
    identifier, event_id, tenant, task_id, url, event, body = texts[:7]
    trace_id, traceparent, tries, endpoint, origin, destination, *sealed_secrets = texts[7:]
    return Delivery(
        id=identifier,
        event_id=event_id,
        tenant=tenant,
        task_id=task_id,
        url=url,
        event=event,
        body=body,
        trace_id=trace_id or None,
        traceparent=traceparent or None,
        tries=int(tries or 0),
        endpoint=endpoint or None,
        sealed_secrets=tuple(sealed_secrets),
        origin=origin,
        destination=destination,
        token=token,
        claimed_at=claimed_at,
    )


def _millis(seconds: float) -> int:
    return round(seconds * 1000)
