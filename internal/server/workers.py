"""
The live workers, read from the records they keep in Redis (15 s after the last sign of life).

A record's `info` is a JSON object that the worker writes: host, slots, busy, version, isolation,
isolation_reason, workspace_mb, disk_level, and `agents`, by name `{available, version, reason}`.
Members may be missing: workers of another version belong to the same deployment.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from redis.asyncio import Redis

from internal.agent.model import Probe
from internal.clock import from_millis
from internal.rdb.keys import Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One live worker process, as it described itself."""

    id: str
    home: str
    last_seen: datetime
    host: str | None
    slots: int
    busy: int
    version: str | None
    isolation: str | None
    isolation_reason: str | None
    workspace_mb: float
    short_of_disk: bool
    is_full: bool
    """Above its critical threshold, although all that nobody needs was removed."""
    agents: Mapping[str, Probe]


class Workers:
    """Reads the registry."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def list(self) -> list[Worker]:
        """All live workers, by id. Redis' errors pass through."""
        ids = cast("list[str]", await self._redis.zrange(self._keys.workers(), 0, -1))
        async with self._redis.pipeline(transaction=False) as pipe:
            for worker in sorted(ids):
                pipe.hgetall(self._keys.worker(worker))
            records = cast("list[dict[str, str]]", await pipe.execute())
        return [_worker(record) for record in records if "id" in record]


def _worker(record: dict[str, str]) -> Worker:
    info: dict[str, Any] = json.loads(record.get("info") or "{}")
    agents: dict[str, dict[str, Any]] = info.get("agents") or {}
    return Worker(
        id=record["id"],
        home=record["home"],
        last_seen=from_millis(int(record["seen"])),
        host=info.get("host"),
        slots=int(info.get("slots") or 0),
        busy=int(info.get("busy") or 0),
        version=info.get("version"),
        isolation=info.get("isolation"),
        isolation_reason=info.get("isolation_reason"),
        workspace_mb=float(info.get("workspace_mb") or 0),
        short_of_disk=info.get("disk_level", "ok") != "ok",
        is_full=info.get("disk_level") == "critical",
        agents={name: _probe(found) for name, found in agents.items()},
    )


def _probe(found: dict[str, Any]) -> Probe:
    return Probe(
        available=bool(found.get("available")),
        version=found.get("version"),
        reason=found.get("reason"),
    )
