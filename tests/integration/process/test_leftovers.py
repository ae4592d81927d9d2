"""What a dead worker left behind is ended by the next one, and nothing else is."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

from internal.process.leftovers import RunMarker, end_leftovers, find_start_time, own_marker
from tests.support.zoo import animal, survivors


@contextmanager
def stray(marker: str, name: str, *arguments: str) -> Generator[subprocess.Popen[bytes]]:
    """A process with *marker* that has no shim any more; it runs when this is entered."""
    process = subprocess.Popen(
        animal(name, *arguments), env={"CODEFORGE_RUN": marker}, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def dead_worker() -> tuple[int, int]:
    """The pid and start time of a process that has ended."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE
    ) as p:
        start = find_start_time(p.pid)
        assert start is not None
        return p.pid, start


def test_processes_of_a_dead_worker_are_ended_with_their_daemons() -> None:
    """
    Worker and start time tell that the owner is gone; stubborn processes and daemons are ended.
    """
    home = secrets.token_hex(8)
    pid, start = dead_worker()
    marker = str(RunMarker(home=home, worker=pid, worker_start=start, claim="c"))

    with stray(marker, "breeder", "stay"), stray(marker, "stubborn"):
        ended = end_leftovers(home)

        assert ended == 3
        assert survivors(marker) == []


def test_a_reused_pid_does_not_protect_leftovers() -> None:
    """
    Another process with the dead worker's pid has another start time.
    """
    home = secrets.token_hex(8)
    start = find_start_time(os.getpid())
    assert start is not None
    marker = str(RunMarker(home=home, worker=os.getpid(), worker_start=start - 1, claim="c"))

    with stray(marker, "sleeper"):
        ended = end_leftovers(home)

    assert ended == 1


def test_processes_of_a_live_worker_are_spared() -> None:
    """
    Several workers share a home; each keeps its own.
    """
    home = secrets.token_hex(8)

    with stray(str(own_marker(home=home, claim="c")), "sleeper") as process:
        ended = end_leftovers(home)

        assert ended == 0
        assert process.poll() is None


def test_processes_of_other_homes_and_of_nobody_are_spared() -> None:
    """
    Another installation on the machine is none of our business, nor is a marker we cannot read.
    """
    pid, start = dead_worker()
    home, other = secrets.token_hex(8), secrets.token_hex(8)
    foreign = str(RunMarker(home=other, worker=pid, worker_start=start, claim="c"))

    with stray(foreign, "sleeper") as first, stray(f"{home}.what", "sleeper") as second:
        ended = end_leftovers(home)

        assert ended == 0
        assert first.poll() is None
        assert second.poll() is None


async def test_cleaning_up_from_a_thread_does_not_disturb_the_loop() -> None:
    """
    The scan blocks; a worker runs it beside its loop.
    """
    assert await asyncio.to_thread(end_leftovers, secrets.token_hex(8)) == 0
