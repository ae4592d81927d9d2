"""arq: asyncio, a sorted set that workers poll; a claim is a key that expires."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import peerkit
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

_REDIS = RedisSettings(host=peerkit.REDIS_HOST, port=peerkit.REDIS_PORT)


async def noop(ctx: dict[Any, Any]) -> None:
    del ctx
    peerkit.noop()


async def stamp(ctx: dict[Any, Any], sent_at: float) -> None:
    del ctx
    peerkit.stamp(sent_at)


async def slow(ctx: dict[Any, Any], number: int) -> None:
    del ctx
    peerkit.started(number)
    await asyncio.sleep(peerkit.SLOW_SECONDS)
    peerkit.ended(number)


async def _fill(job: str, count: int) -> None:
    pool = await create_pool(_REDIS)
    for number in range(count):
        await pool.enqueue_job(job, *([number] if job == "slow" else []))


async def _send(count: int) -> None:
    pool = await create_pool(_REDIS)
    for _ in range(count):
        await asyncio.sleep(peerkit.PAUSE_SECONDS)
        await pool.enqueue_job("stamp", time.monotonic())


def work() -> None:
    Worker(
        functions=[func(noop), func(stamp), func(slow)],
        redis_settings=_REDIS,
        max_jobs=peerkit.CONCURRENCY,
        poll_delay=0.01,
        keep_result=0,
        job_timeout=2,
        max_tries=20,
    ).run()


if __name__ == "__main__":
    peerkit.main(
        fill=lambda job, count: asyncio.run(_fill(job, count)),
        send=lambda count: asyncio.run(_send(count)),
        work=work,
    )
