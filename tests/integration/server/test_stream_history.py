"""Streams against history: whatever breaks, a client sees each event once, in order."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from random import Random

import httpx2
import pytest
from redis.asyncio import Redis

from internal.task.model import Claim
from tests.support.redis import RedisServer
from tests.support.service import Service, body, listening, open_service, text_events
from tests.support.sse import open_stream

pytestmark = pytest.mark.live_keys

SERVERS, TASKS, VIEWERS = 3, 4, 24
EVENTS = 300


def child(random: Random) -> Random:
    """Chance of one task's own, so that they do not depend on each other's order."""
    return Random(random.random())  # noqa: S311 -- a test repeats itself


async def write(service: Service, claim: Claim, random: Random) -> None:
    """An agent's output in batches of every size, then the end."""
    written, batch = 0, 0
    while written < EVENTS:
        size = min(random.choice([1, 1, 2, 5, 90]), EVENTS - written)
        written, batch = written + size, batch + 1
        texts = ["y" * random.choice([1, 200, 5000]) for _ in range(size)]
        await service.queue.append(claim, batch, text_events(texts))
        await asyncio.sleep(random.choice([0, 0, 0.002, 0.01]))
    await service.finish(claim)


async def view(urls: list[str], task: str, random: Random) -> tuple[list[int], int]:
    """All numbers one client saw over many connections, until done; and how many it took."""
    seen: list[int] = []
    connections = 0
    while True:
        connections += 1
        patience = random.choice([0, 1, 3, 20, 100, 1000])
        cursor = {"Last_Event_ID": str(seen[-1])} if seen else {}
        async with open_stream(random.choice(urls), task, **cursor) as stream:
            if stream.response.status_code == 204:
                return seen, connections
            async for message in stream.messages:
                if message.id is not None:
                    seen.append(message.id)
                elif message.event == "done":
                    return seen, connections
                assert message.event in {"", "retry", "connected", "comment"}
                if patience == 0:
                    break
                patience -= 1
                if random.random() < 0.01:
                    await asyncio.sleep(0.03)


async def kill_subscriptions(redis: Redis, random: Random) -> int:
    """Cut every Pub/Sub connection now and then; ends when cancelled."""
    killed = 0
    try:
        while True:
            await asyncio.sleep(random.uniform(0.02, 0.3))
            killed += int(await redis.client_kill_filter(_type="pubsub"))
    except asyncio.CancelledError:
        return killed


async def test_promise_5_fault_a16_b24_any_disconnects_on_any_servers_give_the_log(
    redis_server: RedisServer, redis_client: Redis
) -> None:
    """
    Clients that leave at random and come back anywhere, slow ones, and cut subscriptions: what
    each of them saw, joined, is the log from 1 to its last event.
    """
    random = Random(11)  # noqa: S311 -- a test repeats itself
    async with AsyncExitStack() as stack:
        services = [
            await stack.enter_async_context(open_service(redis_server.url, ping_seconds=0.5))
            for _ in range(SERVERS)
        ]
        urls = [await stack.enter_async_context(listening(service)) for service in services]
        client: httpx2.AsyncClient = await stack.enter_async_context(services[0].client())
        for _ in range(TASKS):
            await client.post("/api/v1/tasks", json=body())
        claims = [await services[0].claim() for _ in range(TASKS)]
        killer = asyncio.create_task(kill_subscriptions(redis_client, random))

        async with asyncio.TaskGroup() as group:
            for claim in claims:
                group.create_task(write(services[0], claim, child(random)))
            views = [
                group.create_task(view(urls, claims[n % TASKS].task.id, child(random)))
                for n in range(VIEWERS)
            ]
        killer.cancel()
        killed = await killer

    assert killed >= 2
    assert sum(view.result()[1] for view in views) > 3 * VIEWERS
    for finished in views:
        # created, two states, the agent's, the last state and the final event
        assert finished.result()[0] == list(range(1, EVENTS + 6))
