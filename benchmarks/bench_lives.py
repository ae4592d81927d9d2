"""Task lives: how many runs a second one worker process takes from claimed to finished."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import time
from typing import Any, cast

from redis.asyncio import Redis

from benchmarks.deployment import open_deployment
from benchmarks.null_worker import SLOTS
from benchmarks.procfs import cpu_seconds
from benchmarks.programs import hear
from benchmarks.scale import Scale
from benchmarks.table import Table
from benchmarks.tasks import submit_many

_LONGEST_SECONDS = 15
"""For filling the queue, and again for draining it."""


async def run(scale: Scale) -> Table:
    """Fill the queue, then drain it with one worker, without fsync and with it."""
    return Table(
        title="Task lives",
        aim=f"at least 4,000 lives/s in one worker process at concurrency {SLOTS}",
        columns=(
            "Redis",
            "lives",
            "lives/s",
            "enqueues/s",
            "round trips per life",
            "Redis CPU µs per life",
            "worker CPU µs per life",
            "Redis memory per task, KiB",
        ),
        rows=[await _drain(scale.lives_count, fsync=fsync) for fsync in scale.fsync],
        notes=(
            "A life: claim with lease and gates, cloning, running, three agent events, finish with "
            "record, final event and outbox entry. Real pool, heartbeat, recorder and report; "
            "no clone, no agent process.",
            "Enqueues: one process, 16 at once, through the service.",
        ),
    )


async def _drain(wanted: int, *, fsync: bool) -> list[str]:
    async with open_deployment(fsync=fsync) as deployment:
        core = await deployment.core()
        empty = await _used_bytes(core.redis)
        began = time.monotonic()
        count = await submit_many(core, wanted, seconds=_LONGEST_SECONDS)
        enqueued = count / (time.monotonic() - began)
        cpu, calls = cpu_seconds(deployment.redis_pid), await _calls(core.redis)
        worker = await deployment.program("null_worker", "drain", str(_LONGEST_SECONDS))
        await hear(worker)
        seen = await hear(worker)
        lives = seen["lives"]
        used = cpu_seconds(deployment.redis_pid) - cpu
        return [
            "fsync always" if fsync else "no fsync",
            f"{lives:,}",
            f"{lives / seen['seconds']:,.0f}",
            f"{enqueued:,.0f}",
            f"{(await _calls(core.redis) - calls) / lives:.1f}",
            f"{used / lives * 1e6:,.0f}",
            f"{seen['cpu'] / lives * 1e6:,.0f}",
            f"{(await _used_bytes(core.redis) - empty) / count / 1024:.1f}",
        ]


async def _calls(redis: Redis) -> int:
    """Scripts run so far; a life does nothing else."""
    stats = cast("dict[str, dict[str, Any]]", await redis.info("commandstats"))
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))


async def _used_bytes(redis: Redis) -> int:
    return int((await redis.info("memory"))["used_memory"])
