"""docket: asyncio on Redis streams, with redelivery of what a dead worker held."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import peerkit
from docket import Docket, Worker


async def noop() -> None:
    peerkit.noop()


async def stamp(sent_at: float) -> None:
    peerkit.stamp(sent_at)


async def slow(number: int) -> None:
    peerkit.started(number)
    await asyncio.sleep(peerkit.SLOW_SECONDS)
    peerkit.ended(number)


_JOBS = {"noop": noop, "stamp": stamp, "slow": slow}


def _docket() -> Docket:
    return Docket(name="peers", url=peerkit.REDIS_URL, execution_ttl=timedelta(0))


async def _fill(job: str, count: int) -> None:
    async with _docket() as docket:
        for number in range(count):
            await docket.add(_JOBS[job])(*([] if job == "noop" else [number]))


async def _send(count: int) -> None:
    async with _docket() as docket:
        for _ in range(count):
            await asyncio.sleep(peerkit.PAUSE_SECONDS)
            await docket.add(stamp)(time.monotonic())


async def _work() -> None:
    async with _docket() as docket:
        for job in _JOBS.values():
            docket.register(job)
        async with Worker(
            docket,
            concurrency=peerkit.CONCURRENCY,
            redelivery_timeout=timedelta(seconds=5),
            minimum_check_interval=timedelta(milliseconds=1),
            scheduling_resolution=timedelta(milliseconds=10),
        ) as worker:
            await worker.run_forever()


if __name__ == "__main__":
    peerkit.main(
        fill=lambda job, count: asyncio.run(_fill(job, count)),
        send=lambda count: asyncio.run(_send(count)),
        work=lambda: asyncio.run(_work()),
    )
