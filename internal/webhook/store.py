"""
Registered endpoints and past deliveries in Redis: each change one script, each read one round trip.

Private to this package. It speaks in words of the scripts; `EndpointRegistry` and `DeliveryLog`
turn them into errors.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, cast

from redis.asyncio import Redis

from internal.rdb.keys import Keys
from internal.rdb.newest import newest
from internal.rdb.scripts import Script
from internal.webhook import scripts
from internal.webhook.codec import decode_delivery, decode_endpoint
from internal.webhook.model import DeliveryRecord, Endpoint

Fields = Mapping[str, str | int]


class WebhookStore:
    """All endpoints and deliveries of a deployment. Lets redis-py's errors out."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def create(
        self, tenant: str, endpoint: str, *, most: int, events: str, fields: Fields
    ) -> list[Any]:
        """ENDPOINT_CREATE; words: ok (ms of its creation), full."""
        args = [tenant, endpoint, most, events, *_flat(fields)]
        return await self._run(scripts.ENDPOINT_CREATE, args)

    async def change(self, tenant: str, endpoint: str, *, switch: str, fields: Fields) -> str:
        """ENDPOINT_CHANGE; ok or missing. *switch* is "1" for on, "0" for off, or ""."""
        args = [tenant, endpoint, switch, *_flat(fields)]
        return str((await self._run(scripts.ENDPOINT_CHANGE, args))[0])

    async def rotate(
        self,
        tenant: str,
        endpoint: str,
        operation: str,
        *,
        revision: int,
        sealed: str,
        overlap_millis: int,
        most_old: int,
    ) -> list[Any]:
        """ENDPOINT_ROTATE; words: ok, again (the revision there is), missing."""
        args: list[str | int] = [tenant, endpoint, operation, revision, sealed]
        return await self._run(scripts.ENDPOINT_ROTATE, [*args, overlap_millis, most_old])

    async def delete(self, tenant: str, endpoint: str, operation: str) -> str:
        """ENDPOINT_DELETE; ok or missing."""
        return str((await self._run(scripts.ENDPOINT_DELETE, [tenant, endpoint, operation]))[0])

    async def post_test(
        self, tenant: str, endpoint: str, *, event_id: str, body: str, task: str
    ) -> list[Any]:
        """ENDPOINT_TEST; words: ok (delivery id), missing, off."""
        return await self._run(scripts.ENDPOINT_TEST, [tenant, endpoint, event_id, body, task])

    async def redeliver(self, tenant: str, delivery: str, operation: str) -> str:
        """REDELIVER; ok, missing, sending, erased, endpoint_deleted or endpoint_off."""
        return str((await self._run(scripts.REDELIVER, [tenant, delivery, operation]))[0])

    async def find(self, tenant: str, endpoint: str) -> Endpoint | None:
        """An endpoint, or None when there is no such one."""
        return (await self._read(tenant, [endpoint]))[0]

    async def endpoints(self, tenant: str) -> list[Endpoint]:
        """All endpoints of a tenant, oldest first."""
        names = self._redis.hkeys(self._keys.webhook_endpoints(tenant))
        ids = sorted(await cast("Awaitable[list[str]]", names))
        return [endpoint for endpoint in await self._read(tenant, ids) if endpoint is not None]

    async def delivery_ids(
        self, tenant: str, task: str | None, *, before: tuple[int, str] | None, count: int
    ) -> list[tuple[str, int]]:
        """
        Up to *count* (delivery id, creation in ms), newest first, of those older than *before*.

        Of one task, when it is given.
        """
        index = self._keys.tenant_deliveries(tenant)
        if task is not None:
            index = self._keys.task_deliveries(tenant, task)
        return await newest(self._redis, index, before=before, count=count)

    async def deliveries(
        self, tenant: str, ids: Sequence[str], urls: Mapping[str, str]
    ) -> list[DeliveryRecord]:
        """Those of *ids* that exist and are the tenant's; *urls* has where endpoints are now."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for delivery in ids:
                pipe.hgetall(self._keys.delivery(delivery))
                pipe.zscore(self._keys.outbox(), delivery)
            replies = await pipe.execute()
        rows = zip(replies[::2], replies[1::2], strict=True)
        return [
            decode_delivery(fields, urls.get(fields["endpoint"]), due)
            for fields, due in rows
            if fields.get("tenant") == tenant
        ]

    async def _read(self, tenant: str, ids: Sequence[str]) -> list[Endpoint | None]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for endpoint in ids:
                pipe.hgetall(self._keys.webhook_endpoint(tenant, endpoint))
            replies = cast("list[dict[str, str]]", await pipe.execute())
        return [decode_endpoint(fields) if "url" in fields else None for fields in replies]

    async def _run(self, script: Script, args: Sequence[str | int]) -> list[Any]:
        return cast("list[Any]", await script(self._redis, [self._keys.prefix], args))


def _flat(fields: Fields) -> list[str | int]:
    return [part for row in fields.items() for part in row]
