"""
A hand in the webhook outbox: it posts deliveries as the task scripts do, and watches them; and a
dispatcher to run over it.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random
from typing import cast

from redis.asyncio import Redis

from internal.clock import Clock, SystemClock
from internal.crypto.box import Box
from internal.egress.client import HttpClient
from internal.egress.guard import Guard
from internal.rdb.keys import Keys
from internal.webhook.deliveries import DeliveryLog
from internal.webhook.dispatcher import Dispatcher, Limits
from internal.webhook.model import EventType
from internal.webhook.outbox import Outbox
from internal.webhook.registry import EndpointRegistry, WithSecret
from internal.webhook.schedule import Schedule
from internal.webhook.secrets import SigningSecrets
from internal.webhook.sender import Sender
from internal.webhook.store import WebhookStore
from tests.support.receiver import Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - a published vector
BOX = Box({"k": bytes(32)}, active="k")
AT_ONCE = Schedule((0.01,) * 20, jitter=0, overload_seconds=0)

_WAIT_SECONDS = 30
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailroom:
    """The outbox, a hand to put deliveries in, and an eye on what becomes of them."""

    redis: Redis
    keys: Keys
    outbox: Outbox

    @property
    def registry(self) -> EndpointRegistry:
        """The registered endpoints of this deployment."""
        store = WebhookStore(self.redis, self.keys)
        return EndpointRegistry(store, SigningSecrets(BOX, SECRET), SystemClock())

    @property
    def log(self) -> DeliveryLog:
        """What clients see of deliveries."""
        return DeliveryLog(WebhookStore(self.redis, self.keys))

    async def register(self, url: str) -> WithSecret:
        """A registered endpoint for everything."""
        return await self.registry.create("default", url=url, events=frozenset(EventType))

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
        now = time.time_ns() // 1_000_000
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
            "created_at": str(now),
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
                pipe.zadd(index, {delivery: now})
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

    async def die_sending(self, redis_url: str, receiver: Receiver) -> None:
        """`kill -9` of a dispatcher when *receiver*, which must not answer, has its first call."""
        doomed = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.doomed_dispatcher",
            *(redis_url, self.keys.prefix, "2", SECRET),
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        try:
            await receiver.wait_for(1)
        finally:
            doomed.kill()
            await doomed.wait()

    async def clear(self) -> None:
        """Remove what still waits; what ended must expire by itself."""
        waiting = cast("list[str]", await self.redis.zrange(self.keys.outbox(), 0, -1))
        await self.redis.delete(
            self.keys.outbox(),
            self.keys.outbox_bell(),
            self.keys.counters(),
            *(self.keys.delivery(delivery) for delivery in waiting),
        )


@contextlib.asynccontextmanager
async def dispatching(
    outbox: Outbox,
    *,
    schedule: Schedule = AT_ONCE,
    attempt_seconds: float = 30,
    allow: tuple[str, ...] = ("127.0.0.0/8",),
    limits: Limits | None = None,
    clock: Clock | None = None,
    box: Box = BOX,
    secrets: tuple[str, ...] = (SECRET,),
) -> AsyncGenerator[None, None]:
    """A dispatcher that runs as long as the context, and must stop within the test's patience."""
    async with HttpClient(Guard(allow), user_agent="CodeForge/test") as client:
        sender = Sender(
            client,
            SigningSecrets(box, secrets[0], secrets[1:]),
            clock or SystemClock(),
            version="1.2.3",
            attempt_seconds=attempt_seconds,
        )
        dispatcher = Dispatcher(
            outbox,
            sender,
            schedule,
            random=Random(1),  # noqa: S311 - jitter
            clock=clock or SystemClock(),
            limits=limits or Limits(poll_seconds=0.05, drain_seconds=0.1),
        )
        stop = asyncio.Event()
        running = asyncio.create_task(dispatcher.run(stop))
        try:
            yield
        finally:
            stop.set()
            async with asyncio.timeout(30):
                await running


async def eventually(fact: Callable[[], Awaitable[bool]]) -> None:
    """Return once *fact* holds; fails after 30 s."""
    give_up_at = time.monotonic() + _WAIT_SECONDS
    while not await fact():
        assert time.monotonic() < give_up_at, "it never became true"
        await asyncio.sleep(0.01)
