"""RQ: one job at a time; the worker that does not fork for each."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import peerkit
from redis import Redis
from rq import Queue, Retry, SimpleWorker

sys.path.insert(0, str(Path(__file__).parent))  # the worker imports jobs by name

_REDIS = Redis(host=peerkit.REDIS_HOST, port=peerkit.REDIS_PORT)
_QUEUE = Queue(connection=_REDIS)


def noop() -> None:
    peerkit.noop()


def stamp(sent_at: float) -> None:
    peerkit.stamp(sent_at)


def slow(number: int) -> None:
    peerkit.started(number)
    time.sleep(peerkit.SLOW_SECONDS)
    peerkit.ended(number)


_JOBS = {"noop": noop, "stamp": stamp, "slow": slow}


def fill(job: str, count: int) -> None:
    for number in range(count):
        _put(job, number)


def send(count: int) -> None:
    for _ in range(count):
        time.sleep(peerkit.PAUSE_SECONDS)
        _put("stamp", time.monotonic())


def _put(job: str, argument: float) -> None:
    _QUEUE.enqueue_call(
        _JOBS[job],
        args=() if job == "noop" else (argument,),
        timeout=2 if job == "slow" else 60,
        result_ttl=500 if job == "slow" else 0,
        retry=Retry(max=20) if job == "slow" else None,
    )


def work() -> None:
    SimpleWorker(
        [_QUEUE],
        connection=_REDIS,
        maintenance_interval=5,
        worker_ttl=20,
        log_job_description=False,
    ).work(logging_level="ERROR")


if __name__ == "__main__":
    sys.modules["rq_peer"] = sys.modules["__main__"]  # jobs are looked up here, not in a copy
    for function in _JOBS.values():
        function.__module__ = "rq_peer"
    peerkit.main(fill=fill, send=send, work=work)
