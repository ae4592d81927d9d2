"""The hub when its connections fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from redis.asyncio import Redis

from internal.rdb.client import connect
from internal.task.hub import Hub
from internal.task.model import DEFAULT_TENANT, Claim, TaskConfig, TaskSpec
from internal.task.state import State
from internal.task.viewer import Closed, Done, Events, Viewer
from tests.support.cutting_proxy import CuttingProxy, proxy_before
from tests.support.redis import RedisServer
from tests.support.service import KEYS, REPO, Service, text_events

pytestmark = pytest.mark.live_keys

PATIENCE = 30


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncGenerator[CuttingProxy]:
    async with proxy_before(redis_server.url) as opened:
        yield opened


@pytest.fixture
async def hub(proxy: CuttingProxy, redis_client: Redis) -> AsyncGenerator[Hub]:
    """A hub all of whose connections go through the proxy."""
    stop = asyncio.Event()
    async with (
        connect(proxy.url, role="pubsub") as subscriber,
        connect(proxy.url, role="command") as reader,
    ):
        hub = Hub(subscriber=subscriber, reader=reader, keys=KEYS, ping_seconds=0.1)
        running = asyncio.create_task(hub.run(stop))
        yield hub
        stop.set()
        await running


@pytest.fixture
async def claim(service: Service) -> Claim:
    config = TaskConfig(cli="demo", timeout_seconds=1, silence_seconds=1)
    spec = TaskSpec(tenant=DEFAULT_TENANT, repo_url=REPO, prompt="x", config=config)
    await service.deps.tasks.submit(spec)
    return await service.claim()


async def read_until(viewer: Viewer, last: int) -> list[int]:
    """Numbers as they are shown, up to *last*."""
    seen: list[int] = []
    while not seen or seen[-1] < last:
        shown = await viewer.next(PATIENCE)
        assert isinstance(shown, Events), shown
        seen += [event.number for event in shown.events]
    return seen


async def test_promise_21_a_half_open_connection_is_found_and_replaced(
    service: Service, hub: Hub, proxy: CuttingProxy, claim: Claim
) -> None:
    """
    It shows no error; the missing pings do. Nothing is lost meanwhile.
    """
    async with hub.follow("default", claim.task.id, after=0) as viewer:
        before = await read_until(viewer, 3)

        proxy.silence()
        await service.queue.append(claim, 1, text_events(["a", "b"]))
        after = await read_until(viewer, 5)

    assert (before, after) == ([1, 2, 3], [4, 5])


async def test_viewers_and_waiters_outlive_an_outage(
    service: Service, hub: Hub, proxy: CuttingProxy, claim: Claim
) -> None:
    """
    While Redis is away there is nothing to show; afterwards everything is shown.
    """
    waiting = asyncio.create_task(hub.wait_finished("default", claim.task.id, PATIENCE))
    async with hub.follow("default", claim.task.id, after=0) as viewer:
        await read_until(viewer, 3)

        proxy.go_away()
        await service.finish(claim)
        nothing = await viewer.next(0.3)
        proxy.come_back()
        after = await read_until(viewer, 5)
        end = await viewer.next(PATIENCE)

    assert nothing is None
    assert after == [4, 5]
    assert isinstance(end, Done)
    assert end.status is State.COMPLETED
    assert await waiting is True


async def test_a_slow_viewer_holds_no_more_than_its_queue(
    service: Service, hub: Hub, claim: Claim
) -> None:
    """
    Past 64 waiting events it reads the log instead; it sees all of them either way.
    """
    async with hub.follow("default", claim.task.id, after=3) as viewer:
        await viewer.next(0)
        for batch in range(1, 31):
            await service.queue.append(claim, batch, text_events(["z"] * 20))

        seen = await read_until(viewer, 603)

    assert seen == list(range(4, 604))


async def test_one_connection_serves_all_viewers(
    service: Service, hub: Hub, claim: Claim, redis_client: Redis
) -> None:
    """
    A hundred viewers of a task are one subscription.
    """
    async with asyncio.TaskGroup() as group:
        started = asyncio.Barrier(101)

        async def look() -> list[int]:
            async with hub.follow("default", claim.task.id, after=0) as viewer:
                await read_until(viewer, 3)
                await started.wait()
                return await read_until(viewer, 4)

        looks = [group.create_task(look()) for _ in range(100)]
        await started.wait()
        watched = hub.watched
        await service.queue.append(claim, 1, text_events(["a"]))

    assert watched == 1
    assert [found.result() for found in looks] == [[4]] * 100


async def test_waiting_ends_with_time_end_or_absence(
    service: Service, hub: Hub, claim: Claim
) -> None:
    """
    True when finished or gone, False when the time was over.
    """
    assert await hub.wait_finished("default", claim.task.id, 0.05) is False
    assert await hub.wait_finished("default", "nobody", PATIENCE) is True

    waiting = asyncio.create_task(hub.wait_finished("default", claim.task.id, PATIENCE))
    await service.finish(claim)

    assert await waiting is True
    assert await hub.wait_finished("default", claim.task.id, 0) is True


async def test_nothing_is_followed_after_a_stop(redis_server: RedisServer) -> None:
    """
    A late request is told at once that this server goes.
    """
    stop = asyncio.Event()
    async with (
        connect(redis_server.url, role="pubsub") as subscriber,
        connect(redis_server.url, role="command") as reader,
    ):
        hub = Hub(subscriber=subscriber, reader=reader, keys=KEYS)
        running = asyncio.create_task(hub.run(stop))
        stop.set()
        await running

        async with hub.follow("default", "any", after=0) as viewer:
            assert await viewer.next(PATIENCE) == Closed("shutdown")
        assert await hub.wait_finished("default", "any", PATIENCE) is False
