"""The deployment's numbers, read from Redis at each scrape: every server shows the same ones."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import cast

from redis.asyncio import Redis

from internal.rdb.keys import Keys
from internal.server.workers import Workers
from internal.telemetry.metrics import ClusterSnapshot


class Snapshots:
    """Reads counters, queue and registry."""

    def __init__(self, redis: Redis, keys: Keys, workers: Workers) -> None:
        self._redis = redis
        self._keys = keys
        self._workers = workers

    async def read(self) -> ClusterSnapshot:
        """One consistent look. Redis' errors pass through."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(self._keys.counters())
            pipe.zcard(self._keys.leases())
            pipe.zcard(self._keys.queued())
            counters, leased, queued = await pipe.execute()
        workers = await self._workers.list()
        return ClusterSnapshot(
            counters=cast("dict[str, str]", counters),
            tasks_in_progress=int(leased),
            queue_depth=int(queued),
            workers_active=sum(worker.busy for worker in workers),
            workers_total=sum(worker.slots for worker in workers),
        )
