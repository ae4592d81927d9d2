"""The deployment's numbers, read from Redis at each scrape: every server shows the same ones."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

from redis.asyncio import Redis

from internal.rdb.keys import Keys
from internal.server.workers import Worker, Workers
from internal.task.breakers import Breakers, count_open
from internal.task.escalations import Escalations
from internal.telemetry.cluster import ClusterSnapshot

_MIB = 1 << 20


class Snapshots:
    """Reads counters, queue and registry."""

    def __init__(self, redis: Redis, keys: Keys, workers: Workers) -> None:
        self._redis = redis
        self._keys = keys
        self._workers = workers
        self._escalations = Escalations(redis, keys)
        self._breakers = Breakers(redis, keys)

    async def read(self) -> ClusterSnapshot:
        """One consistent look. Redis' errors pass through."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.time()
            pipe.hgetall(self._keys.counters())
            pipe.zcard(self._keys.leases())
            pipe.zcard(self._keys.dead_letters())
            for line in (self._keys.queued(), self._keys.outbox()):
                pipe.zcard(line)
                pipe.zrange(line, 0, 0, withscores=True)
            (seconds, micros), counters, leased, dead, *lines = await pipe.execute()
        now = seconds * 1000 + micros / 1000
        queued, oldest, undelivered, first_due = lines
        workers = await self._workers.list()
        escalated = await self._escalations.list()
        return ClusterSnapshot(
            counters=cast("dict[str, str]", counters),
            tasks_in_progress=int(leased),
            queue_depth=int(queued),
            queue_oldest_seconds=_age_seconds(oldest, now),
            workers_active=sum(worker.busy for worker in workers),
            workers_total=sum(worker.slots for worker in workers),
            worker_processes=len(workers),
            webhook_backlog=int(undelivered),
            webhook_overdue_seconds=_age_seconds(first_due, now),
            dead_letters=int(dead),
            workspace_bytes=sum(_by_home(workers, lambda worker: worker.workspace_mb)) * _MIB,
            open_breakers=count_open(await self._breakers.list()),
            levels=Counter((found.kind.value, found.level.value) for found in escalated),
            homes_short_of_disk=int(sum(_by_home(workers, lambda worker: worker.short_of_disk))),
        )


def _by_home(workers: Sequence[Worker], value: Callable[[Worker], float]) -> list[float]:
    """One value per home: its workers share a disk."""
    return list({worker.home: value(worker) for worker in workers}.values())


def _age_seconds(first: Sequence[tuple[str, float]], now_millis: float) -> float:
    """How long ago the first entry's time was; 0 when there is none, or it is still to come."""
    return max(0.0, (now_millis - first[0][1]) / 1000) if first else 0.0
