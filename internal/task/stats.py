"""The numbers of a tenant: its tasks by state, what it used today, and the queue it stands in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from internal.task.model import Tenant
from internal.task.state import State
from internal.task.store import TaskStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Tasks and usage of one tenant; the queue is the one that all share."""

    tasks: Mapping[State, int]
    queue_depth: int
    queue_oldest_seconds: float
    input_tokens: int
    output_tokens: int
    cost_usd: float
    unpriced_tokens: int


async def read_stats(store: TaskStore, tenant: Tenant, now: datetime) -> Stats:
    """The counts as they are; usage is of the day (UTC) of *now*."""
    counts = await store.counts(tenant)
    depth, oldest = await store.queue()
    usage = await store.usage_of_day(tenant, now.astimezone(UTC).date().isoformat())
    return Stats(
        tasks=counts,
        queue_depth=depth,
        queue_oldest_seconds=0.0 if oldest is None else max(0.0, now.timestamp() - oldest / 1000),
        input_tokens=int(usage.get("input_tokens", 0)),
        output_tokens=int(usage.get("output_tokens", 0)),
        cost_usd=max(0.0, round(float(usage.get("cost_usd", 0)), 6)),
        unpriced_tokens=int(usage.get("unpriced_tokens", 0)),
    )
