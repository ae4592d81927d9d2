"""
What became of deliveries, and sending one again.

A record stays for 30 days after its delivery ended, the newest 10,000 of a tenant, unless its task
is deleted before: then it goes with the task.
"""

from __future__ import annotations

from dataclasses import dataclass

from internal.errors import Conflict, Gone, NotFound
from internal.ids import random_token
from internal.webhook.model import DeliveryRecord, Progress
from internal.webhook.store import WebhookStore

_STEP = 100
_LOOKED_AT = 2_000
"""Records that one call looks at for a filter; its page may be short, and has a cursor."""

Cursor = tuple[int, str]
"""Creation in ms, and the id, of the last delivery of a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPage:
    """One page, newest first; `next_cursor` is None on the last."""

    deliveries: tuple[DeliveryRecord, ...]
    next_cursor: Cursor | None


class DeliveryLog:
    """The deliveries of all tenants. Redis' own errors pass through."""

    def __init__(self, store: WebhookStore) -> None:
        self._store = store

    async def list(
        self,
        tenant: str,
        *,
        limit: int,
        task: str | None = None,
        status: Progress | None = None,
        cursor: Cursor | None = None,
    ) -> DeliveryPage:
        """Deliveries that match, newest first."""
        urls = {endpoint.id: endpoint.url for endpoint in await self._store.endpoints(tenant)}
        matches: list[DeliveryRecord] = []
        for _ in range(_LOOKED_AT // _STEP):
            rows = await self._store.delivery_ids(tenant, task, before=cursor, count=_STEP)
            found = await self._store.deliveries(tenant, [row[0] for row in rows], urls)
            by_id = {record.id: record for record in found}
            for delivery, created in rows:
                cursor = created, delivery
                record = by_id.get(delivery)
                if record is not None and status in {None, record.status}:
                    matches.append(record)
                    if len(matches) == limit:
                        return DeliveryPage(deliveries=tuple(matches), next_cursor=cursor)
            if len(rows) < _STEP:
                return DeliveryPage(deliveries=tuple(matches), next_cursor=None)
        return DeliveryPage(deliveries=tuple(matches), next_cursor=cursor)

    async def redeliver(self, tenant: str, delivery: str) -> None:
        """
        Make it due now, with its schedule from the start; the receiver knows it by the event id.

        Raises:
            NotFound.
            Conflict: an attempt is on its way, or its endpoint is switched off or removed.
            Gone: the body was erased, with its task or after 30 days.
        """
        match await self._store.redeliver(tenant, delivery, random_token()):
            case "missing":
                raise NotFound("There is no such delivery.")
            case "sending":
                raise Conflict("An attempt of this delivery is on its way.")
            case "endpoint_deleted":
                raise Conflict("The endpoint of this delivery was removed.")
            case "endpoint_off":
                raise Conflict("The endpoint of this delivery is switched off.")
            case "erased":
                raise Gone("The body of this delivery was erased.")
            case _:
                return
