"""The gauges of a scrape, read from the Redis of a deployment."""

from __future__ import annotations

import pytest

from codeforge.wiring.snapshots import Snapshots
from internal.server.workers import Workers
from tests.support.service import KEYS, Service, body

pytestmark = pytest.mark.live_keys


async def test_what_waits_runs_and_is_not_delivered_is_seen(service: Service) -> None:
    """With the age of the oldest of it, by Redis' clock; nothing at all is 0."""
    snapshots = Snapshots(service.redis, KEYS, Workers(service.redis, KEYS))
    empty = await snapshots.read()
    async with service.client() as client:
        for _ in range(2):
            await client.post("/api/v1/tasks", json=body(callback_url="https://example.com/hook"))
    first = await service.claim()
    working = await snapshots.read()
    await service.finish(first)
    finished = await snapshots.read()
    await _put_off(service, -100)
    overdue = await snapshots.read()
    await _put_off(service, 1000)
    later = await snapshots.read()

    assert (empty.queue_depth, empty.queue_oldest_seconds) == (0, 0)
    assert (empty.webhook_backlog, empty.webhook_overdue_seconds) == (0, 0)
    assert (working.tasks_in_progress, working.queue_depth) == (1, 1)
    assert 0 < working.queue_oldest_seconds < 60
    assert (finished.tasks_in_progress, finished.webhook_backlog) == (0, 1)
    assert finished.counters["tasks:completed"] == "1"
    assert 99 <= overdue.webhook_overdue_seconds < 160
    assert (later.webhook_backlog, later.webhook_overdue_seconds) == (1, 0)


async def _put_off(service: Service, seconds: int) -> None:
    """Make the only delivery due in so many seconds from now."""
    script = (
        "local now, id = redis.call('TIME')[1], redis.call('ZRANGE', KEYS[1], 0, 0)[1] "
        "redis.call('ZADD', KEYS[1], (now + ARGV[1]) * 1000, id)"
    )
    await service.redis.eval(script, 1, KEYS.outbox(), seconds)
