"""
A hand in the webhook outbox: it posts deliveries as the finishing script does, and watches them.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import chain
from typing import cast

from redis.asyncio import Redis

from internal.rdb.keys import Keys
from internal.webhook.outbox import Outbox

_WAIT_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailroom:
    """The outbox, a hand to put deliveries in, and an eye on what becomes of them."""

    redis: Redis
    keys: Keys
    outbox: Outbox

    async def post(
        self,
        url: str = "",
        *,
        name: str = "t1_7",
        body: str = '{"a":"ü"}',
        endpoint: str = "",
        tenant: str = "default",
    ) -> str:
        """Write a delivery that is due now, for *url* or a registered endpoint; its id."""
        event, task = f"evt_{name}", name.partition("_")[0]
        delivery = f"{event}_{endpoint}" if endpoint else event
        record = {
            "id": delivery,
            "event_id": event,
            "tenant": tenant,
            "task_id": task,
            "url": url,
            "endpoint": endpoint,
            "event": "task.completed",
            "attempts": "0",
            "tries": "0",
            "created_at": "1",
            "trace_id": "trace-1",
        }
        keys = self.keys
        async with self.redis.pipeline() as pipe:
            pipe.hset(keys.delivery(delivery), items=list(chain(*record.items())))
            pipe.hset(keys.task_bodies(tenant, task), event, body)
            pipe.expire(keys.task_bodies(tenant, task), 600)
            pipe.zadd(keys.outbox(), {delivery: 0})
            pipe.lpush(keys.outbox_bell(), "1")
            for index in (keys.tenant_deliveries(tenant), keys.task_deliveries(tenant, task)):
                pipe.zadd(index, {delivery: 1})
                pipe.expire(index, 600)
            await pipe.execute()
        return delivery

    async def record(self, delivery: str) -> dict[str, str]:
        """The delivery's hash."""
        reply = self.redis.hgetall(self.keys.delivery(delivery))
        return await cast("Awaitable[dict[str, str]]", reply)

    async def due_in_seconds(self, delivery: str) -> float | None:
        """How long until it is due, by Redis' clock; None when it is in no line any more."""
        due = await self.redis.zscore(self.keys.outbox(), delivery)
        seconds, micros = await self.redis.time()
        return None if due is None else float(due) / 1000 - seconds - micros / 1_000_000

    async def counted(self, outcome: str) -> int:
        """The deployment's counter of ended deliveries."""
        reply = self.redis.hget(self.keys.counters(), f"webhook_deliveries:{outcome}")
        return int(await cast("Awaitable[str | None]", reply) or 0)

    async def until(self, delivery: str, **fields: str) -> dict[str, str]:
        """The record, once it has these values."""

        async def holds() -> bool:
            return fields.items() <= (await self.record(delivery)).items()

        await eventually(holds)
        return await self.record(delivery)

    async def clear(self) -> None:
        """Remove what still waits; what ended must expire by itself."""
        waiting = cast("list[str]", await self.redis.zrange(self.keys.outbox(), 0, -1))
        await self.redis.delete(
            self.keys.outbox(),
            self.keys.outbox_bell(),
            self.keys.counters(),
            *(self.keys.delivery(delivery) for delivery in waiting),
        )


async def eventually(fact: Callable[[], Awaitable[bool]]) -> None:
    """Return once *fact* holds; fails after 30 s."""
    give_up_at = time.monotonic() + _WAIT_SECONDS
    while not await fact():
        assert time.monotonic() < give_up_at, "it never became true"
        await asyncio.sleep(0.01)
