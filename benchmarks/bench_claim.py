"""Claim latency: from the call that enqueues a task to the idle worker that has it."""

from __future__ import annotations

import asyncio
import time

from benchmarks.deployment import open_deployment
from benchmarks.programs import hear
from benchmarks.scale import Scale, bounded
from benchmarks.table import Table, millis, percentile
from benchmarks.tasks import submit

_PAUSE_SECONDS = 0.005
"""Between tasks: the worker shall be idle, blocked in its doorbell."""
_LONGEST_SECONDS = 20


async def run(scale: Scale) -> Table:
    """One task at a time, without fsync and with it."""
    rows: list[list[str]] = []
    for fsync in scale.fsync:
        seconds = await _latencies(scale.claim_count, fsync=fsync)
        rows.append(
            [
                "fsync always" if fsync else "no fsync",
                str(len(seconds)),
                *(millis(percentile(seconds, percent)) for percent in (50, 90, 99)),
            ]
        )
    return Table(
        title="Claim latency",
        aim="p50 at most 1 ms",
        columns=("Redis", "tasks", "p50 ms", "p90 ms", "p99 ms"),
        rows=rows,
        notes=(
            "From before the enqueueing call to the claimed task in the pool of another process: "
            "enqueue script, doorbell, claim script, all decoding.",
        ),
    )


async def _latencies(count: int, *, fsync: bool) -> list[float]:
    async with open_deployment(fsync=fsync) as deployment:
        core = await deployment.core()
        worker = await deployment.program("null_worker", "watch")
        await hear(worker)
        seconds: list[float] = []
        for _ in bounded(count + 1, _LONGEST_SECONDS):
            await asyncio.sleep(_PAUSE_SECONDS)
            began = time.monotonic()
            await submit(core)
            seconds.append((await hear(worker))["at"] - began)
        return seconds[1:] or seconds  # the first loads scripts and opens connections
