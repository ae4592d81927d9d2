"""
The event log of a task: one Redis stream, numbered from 1 without holes by the scripts that append.

The stream is the truth; Pub/Sub carries the same envelopes but only wakes. This file reads.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from redis.asyncio import Redis

from internal.rdb.keys import Keys
from internal.task.event import StoredEvent


class EventLog:
    """Reads the logs of all tasks."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def read(self, tenant: str, task: str, *, after: int, limit: int) -> list[StoredEvent]:
        """Up to *limit* events with a number above *after*, in order."""
        key = self._keys.task_events(tenant, task)
        rows = cast(
            list[tuple[str, dict[str, str]]],
            await self._redis.xrange(key, min=f"({after}-0" if after else "-", count=limit),
        )
        return [StoredEvent(int(entry.partition("-")[0]), data["e"]) for entry, data in rows]

    async def tails(
        self, tenant: str, tasks: Sequence[str], *, count: int
    ) -> list[list[StoredEvent]]:
        """The newest *count* events of each task, newest first."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for task in tasks:
                pipe.xrevrange(self._keys.task_events(tenant, task), count=count)
            logs = cast(list[list[tuple[str, dict[str, str]]]], await pipe.execute())
        return [
            [StoredEvent(int(entry.partition("-")[0]), data["e"]) for entry, data in log]
            for log in logs
        ]

    async def last(self, tenant: str, task: str) -> int:
        """Number of the newest event, 0 when there is none."""
        found = await self._redis.hget(self._keys.task(tenant, task), "seq")
        return int(found or 0)
