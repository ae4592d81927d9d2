"""dramatiq over Redis: threads, messages fetched ahead, acknowledged after the run."""

from __future__ import annotations

import threading
import time

import dramatiq
import peerkit
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(
    host=peerkit.REDIS_HOST,
    port=peerkit.REDIS_PORT,
    heartbeat_timeout=5_000,
    maintenance_chance=100_000,
)
dramatiq.set_broker(broker)


@dramatiq.actor
def noop() -> None:
    peerkit.noop()


@dramatiq.actor
def stamp(sent_at: float) -> None:
    peerkit.stamp(sent_at)


@dramatiq.actor
def slow(number: int) -> None:
    peerkit.started(number)
    time.sleep(peerkit.SLOW_SECONDS)
    peerkit.ended(number)


_JOBS = {"noop": noop, "stamp": stamp, "slow": slow}


def fill(job: str, count: int) -> None:
    for number in range(count):
        _JOBS[job].send(*([] if job == "noop" else [number]))


def send(count: int) -> None:
    for _ in range(count):
        time.sleep(peerkit.PAUSE_SECONDS)
        stamp.send(time.monotonic())


def work() -> None:
    dramatiq.Worker(broker, worker_threads=peerkit.CONCURRENCY).start()
    threading.Event().wait()


if __name__ == "__main__":
    peerkit.main(fill=fill, send=send, work=work)
