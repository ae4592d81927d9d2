"""One lone worker per home, whichever worker starts it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from internal.worker.alone import AloneStarter, alone_lock
from tests.support.waiting import until

_CHILD = """
import fcntl, os, sys, time
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit()
os.open(f"{sys.argv[2]}/{os.getpid()}", os.O_CREAT)
while not os.path.exists(f"{sys.argv[2]}/end"):
    time.sleep(0.01)
"""


def test_the_lock_is_free_for_one_at_a_time(tmp_path: Path) -> None:
    """And free again when its holder is done."""
    lock = tmp_path / "lock"

    with alone_lock(lock) as first, alone_lock(lock) as second:
        assert (first, second) == (True, False)
    with alone_lock(lock) as third:
        assert third


async def test_a_bell_starts_a_child_and_only_one(tmp_path: Path) -> None:
    """Also when two workers of a home hear it, and when it rings again."""
    stop = asyncio.Event()
    starters = [_starter(tmp_path) for _ in range(2)]
    running = [asyncio.create_task(starter.run(stop)) for starter in starters]
    for starter in starters:
        starter.ring()
    await until("a child runs", lambda: _alive(tmp_path))

    for starter in starters:
        starter.ring()
    await asyncio.sleep(0)
    assert len(_alive(tmp_path)) == 1
    (tmp_path / "end").touch()
    await until("it has ended", lambda: not _alive(tmp_path))
    stop.set()
    await asyncio.gather(*running)

    assert not _alive(tmp_path)


async def test_a_stop_ends_the_child(tmp_path: Path) -> None:
    """It is told to, and waited for."""
    stop = asyncio.Event()
    starter = _starter(tmp_path)
    running = asyncio.create_task(starter.run(stop))
    starter.ring()
    await until("a child runs", lambda: _alive(tmp_path))

    stop.set()
    await running

    assert not _alive(tmp_path)


async def test_a_child_that_cannot_be_started_costs_nothing(tmp_path: Path) -> None:
    """The next heartbeat rings again."""
    stop = asyncio.Event()
    starter = AloneStarter(["/nowhere/python"], {}, tmp_path / "lock", stop_seconds=10)
    running = asyncio.create_task(starter.run(stop))

    starter.ring()
    await asyncio.sleep(0)
    stop.set()

    await running


def _starter(directory: Path) -> AloneStarter:
    argv = [sys.executable, "-IS", "-c", _CHILD, str(directory / "lock"), str(directory)]
    return AloneStarter(argv, dict(os.environ), directory / "lock", stop_seconds=30)


def _children(directory: Path) -> list[int]:
    return [int(path.name) for path in directory.iterdir() if path.name.isdigit()]


def _alive(directory: Path) -> list[int]:
    return [pid for pid in _children(directory) if Path(f"/proc/{pid}").exists()]
