"""The queue beside its peers: jobs that do nothing, a second and from end to end."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from typing import Any

from benchmarks.peer_runs import PEERS, Ground, Peer, is_installed, open_ground
from benchmarks.procfs import cpu_seconds
from benchmarks.programs import hear
from benchmarks.scale import Scale
from benchmarks.table import Table, millis, percentile

LIMIT_SECONDS = 600
_PROGRAM_SECONDS = 60
"""The longest any one step takes; RQ needs some 10 s of it."""


async def run(scale: Scale) -> Table:
    """All peers that are installed, one after the other, with fsync and without."""
    present = [peer for peer in PEERS if is_installed(peer)]
    missing = ", ".join(peer.title for peer in PEERS if peer not in present)
    rows = [await _measure(peer, scale, fsync=fsync) for fsync in scale.fsync for peer in present]
    return Table(
        title="Beside other queues",
        aim="none; what CodeForge does for one task is more than any of them does",
        columns=(
            "queue",
            "Redis",
            "at once",
            "lives/s",
            "enqueues/s",
            "end to end p50 / p99 ms",
            "Redis CPU µs per life",
            "worker CPU µs per life",
        ),
        rows=rows,
        notes=(
            f"{scale.peer_count:,} jobs that do nothing, put in by one producer and then drained by"
            " one worker process: from the start of the first to the start of the last.",
            "End to end: from the enqueueing call to the job's first line, one at a time, the"
            " worker idle.",
            *(f"{peer.title}: {peer.settings}." for peer in present),
            *([f"Not installed here (`make peers`): {missing}."] if missing else []),
        ),
    )


async def _measure(peer: Peer, scale: Scale, *, fsync: bool) -> list[str]:
    async with open_ground(peer, fsync=fsync) as ground:
        filled = await _produce(ground, "fill", "noop", str(scale.peer_count))
        used = cpu_seconds(ground.redis_pid)
        async with ground.program("work", str(scale.peer_count)) as worker:
            await _heard(worker)  # that it is ready
            drained = await _heard(worker)
        used = cpu_seconds(ground.redis_pid) - used
    async with (
        open_ground(peer, fsync=fsync) as ground,
        ground.program("work", str(scale.peer_sends)) as worker,
    ):
        await _heard(worker)
        await _produce(ground, "send", str(scale.peer_sends))
        sent = await _heard(worker)
    latencies = [float(seconds) for seconds in sent["latencies"]]
    count = scale.peer_count
    return [
        peer.title,
        "fsync always" if fsync else "no fsync",
        str(peer.concurrency),
        f"{(count - 1) / float(drained['seconds']):,.0f}",
        f"{count / float(filled['seconds']):,.0f}",
        f"{millis(percentile(latencies, 50))} / {millis(percentile(latencies, 99))}",
        f"{used / count * 1e6:,.0f}",
        f"{float(drained['cpu']) / count * 1e6:,.0f}",
    ]


async def _produce(ground: Ground, *arguments: str) -> dict[str, Any]:
    async with ground.program(*arguments) as producer:
        return await _heard(producer)


async def _heard(worker: Process) -> dict[str, Any]:
    async with asyncio.timeout(_PROGRAM_SECONDS):
        return await hear(worker)
