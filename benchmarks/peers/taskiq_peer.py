"""taskiq on Redis streams, the broker of its kind that acknowledges."""

from __future__ import annotations

import asyncio
import time

import peerkit
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(
    peerkit.REDIS_URL, idle_timeout=5_000, unacknowledged_lock_timeout=2, xread_count=10
)


@broker.task(task_name="noop")
async def noop() -> None:
    peerkit.noop()


@broker.task(task_name="stamp")
async def stamp(sent_at: float) -> None:
    peerkit.stamp(sent_at)


@broker.task(task_name="slow")
async def slow(number: int) -> None:
    peerkit.started(number)
    await asyncio.sleep(peerkit.SLOW_SECONDS)
    peerkit.ended(number)


_JOBS = {"noop": noop, "stamp": stamp, "slow": slow}


async def _fill(job: str, count: int) -> None:
    await broker.startup()
    for number in range(count):
        await _JOBS[job].kiq(*([] if job == "noop" else [number]))


async def _send(count: int) -> None:
    await broker.startup()
    for _ in range(count):
        await asyncio.sleep(peerkit.PAUSE_SECONDS)
        await stamp.kiq(time.monotonic())


async def _work() -> None:
    await run_receiver_task(broker, max_async_tasks=peerkit.CONCURRENCY, run_startup=True)


if __name__ == "__main__":
    peerkit.main(
        fill=lambda job, count: asyncio.run(_fill(job, count)),
        send=lambda count: asyncio.run(_send(count)),
        work=lambda: asyncio.run(_work()),
    )
