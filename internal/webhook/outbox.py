"""
Deliveries waiting in Redis: claim, settle, and the doorbell that says there are new ones.

The script that ends a run writes the entries (internal/task/lua). From then on a delivery is either
due at a time or leased, which is the same: a lease is a due time in the future. So a dispatcher
that dies needs no clean-up, and its deliveries are sent again, with the same id. Every delivery
ends once, with its counter, because settling needs the token of the newest claim.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import cast

from redis.asyncio import Redis

from internal.ids import random_token
from internal.rdb.keys import Keys
from internal.rdb.scripts import Script, load_lua
from internal.webhook.endpoints import Endpoints
from internal.webhook.model import Attempt, Delivery, Verdict

_CLAIM = Script(load_lua("internal.webhook", "lua/claim"))
_SETTLE = Script(load_lua("internal.webhook", "lua/settle"))

_KEPT_MILLIS = 7 * 24 * 3600 * 1000
_PUT_OFF_MILLIS = 200
_BELL_SECONDS = 2


class Outbox:
    """The deliveries of one deployment. All methods let redis-py's errors out."""

    def __init__(self, commands: Redis, blocking: Redis, keys: Keys) -> None:
        """*blocking* is the client without a socket timeout, for the doorbell alone."""
        self._commands = commands
        self._blocking = blocking
        self._keys = keys

    async def claim(
        self, *, limit: int, lease_seconds: float, endpoints: Endpoints
    ) -> tuple[list[Delivery], bool]:
        """
        Lease at most *limit* due deliveries, oldest first, as far as *endpoints* have places.

        The second value says whether others may be due right now. Nobody else gets a leased one
        before *lease_seconds* are over; settle it by then.
        """
        token = random_token()
        rooms: list[str | int] = []
        for room in endpoints.rooms():
            rooms += [room.endpoint, room.places, _millis(room.put_off_seconds)]
        more, given = await _CLAIM(
            self._commands,
            [self._keys.prefix],
            [token, _millis(lease_seconds), limit, endpoints.places, _PUT_OFF_MILLIS, *rooms],
        )
        return [_delivery(fields, token) for fields in given], bool(more)

    async def settle(
        self, delivery: Delivery, attempt: Attempt, *, retry_in_seconds: float | None
    ) -> bool:
        """
        Record *attempt*, and end the delivery or make it due again in *retry_in_seconds*.

        None ends it: as delivered when the attempt says so, else as failed; its record stays for 7
        days. False when the claim was another's by now, or the task was deleted: nothing was
        changed. Safe to repeat.
        """
        if attempt.verdict is Verdict.DELIVERED:
            becomes = "delivered"
        else:
            becomes = "failed" if retry_in_seconds is None else "again"
        reply: str = await _SETTLE(
            self._commands,
            [self._keys.prefix],
            [
                delivery.id,
                delivery.token,
                becomes,
                _millis(retry_in_seconds or 0),
                attempt.reason,
                "" if attempt.status is None else attempt.status,
                _KEPT_MILLIS,
            ],
        )
        return reply != "fenced"

    async def await_bell(self) -> None:
        """Return when somebody wrote a delivery, or after 2 s. A ring carries no work."""
        await cast(
            "Awaitable[object]", self._blocking.blpop([self._keys.outbox_bell()], _BELL_SECONDS)
        )


def _delivery(fields: Sequence[str | None], token: str) -> Delivery:
    identifier, tenant, task_id, url, event, body, trace_id, attempts, traceparent, endpoint = (
        fields
    )
    return Delivery(
        id=identifier or "",
        tenant=tenant or "",
        task_id=task_id or "",
        url=url or "",
        event=event or "",
        body=body or "",
        trace_id=trace_id or None,
        traceparent=traceparent or None,
        attempts=int(attempts or 0),
        endpoint=endpoint or "",
        token=token,
    )


def _millis(seconds: float) -> int:
    return round(seconds * 1000)
