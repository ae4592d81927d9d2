"""Celery over Redis, the pool that runs jobs in the worker process itself."""

from __future__ import annotations

import time
from functools import partialmethod

import peerkit
from celery import Celery
from kombu.transport.redis import QoS

app = Celery("peers", broker=peerkit.REDIS_URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": 5,
        "unacked_restore_limit": 100,
        "unacked_mutex_expire": 10,
        "polling_interval": 2,
    },
)


@app.task(name="noop")
def noop() -> None:
    peerkit.noop()


@app.task(name="stamp")
def stamp(sent_at: float) -> None:
    peerkit.stamp(sent_at)


@app.task(name="slow")
def slow(number: int) -> None:
    peerkit.started(number)
    time.sleep(peerkit.SLOW_SECONDS)
    peerkit.ended(number)


_JOBS = {"noop": noop, "stamp": stamp, "slow": slow}


def fill(job: str, count: int) -> None:
    for number in range(count):
        _JOBS[job].apply_async(args=() if job == "noop" else (number,))


def send(count: int) -> None:
    for _ in range(count):
        time.sleep(peerkit.PAUSE_SECONDS)
        stamp.apply_async(args=(time.monotonic(),))


def work() -> None:
    # What was not acknowledged is given back at each tenth turn of a sweep of 10 s, so after 100 s;
    # here at each.
    QoS.restore_visible = partialmethod(QoS.restore_visible, interval=1)
    app.worker_main(
        [
            *("-q", "worker", "-P", "solo", "-c", "1", "-l", "ERROR"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ]
    )


if __name__ == "__main__":
    peerkit.main(fill=fill, send=send, work=work)
