"""
What the programs of all peers share: three jobs, and how a worker tells what it did.

The programs run in environments of their own, so nothing of CodeForge is imported here. Commands:

    fill <job> <count>     enqueue, as fast as one producer can; prints {"seconds"}
    send <count>           enqueue `stamp` one at a time, with a pause in which the worker is idle
    work <count>           be a worker; after so many `noop` or `stamp` prints {"seconds", "cpu",
                           "latencies"} and ends; 0: until it is killed

`slow` writes a line to the file LEDGER when it starts and another when it ends: the truth about
what ran, outside of everything that is killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable

REDIS_HOST = "127.0.0.1"
REDIS_PORT = int(os.environ.get("PEER_REDIS_PORT", "6379"))
REDIS_URL = f"redis://{REDIS_HOST}:{REDIS_PORT}/0"
CONCURRENCY = int(os.environ.get("PEER_CONCURRENCY", "10"))
SLOW_SECONDS = 0.02
PAUSE_SECONDS = 0.005
_PR_SET_PDEATHSIG = 1


class _Counter:
    """What this worker has run so far."""

    def __init__(self) -> None:
        self.expected = 0
        self.ran = 0
        self.first_at = 0.0
        self.cpu_at_first = 0.0
        self.latencies: list[float] = []

    def count(self) -> None:
        """One more; the last one that is expected ends the process."""
        now = time.monotonic()
        if self.ran == 0:
            self.first_at, self.cpu_at_first = now, time.process_time()
        self.ran += 1
        if self.ran == self.expected:
            cpu = time.process_time() - self.cpu_at_first
            say({"seconds": now - self.first_at, "cpu": cpu, "latencies": self.latencies})
            os._exit(0)  # the last acknowledgement is not measured, and some workers never end


_counter = _Counter()


def noop() -> None:
    """A job that does nothing."""
    _counter.count()


def stamp(sent_at: float) -> None:
    """A job that notes how long it was under way, by the machine's monotonic clock."""
    _counter.latencies.append(time.monotonic() - sent_at)
    _counter.count()


def started(number: int) -> None:
    """Write that the slow job *number* starts."""
    _note("S", number)


def ended(number: int) -> None:
    """Write that the slow job *number* has ended."""
    _note("E", number)


def main(
    *, fill: Callable[[str, int], None], send: Callable[[int], None], work: Callable[[], None]
) -> None:
    """Do what the command line says, and end with whoever measures, also when that is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    command, *arguments = sys.argv[1:]
    if command == "work":
        _counter.expected = int(arguments[0])
        say({"ready": True})
        work()
        return
    began = time.monotonic()
    if command == "fill":
        fill(arguments[0], int(arguments[1]))
    else:
        send(int(arguments[0]))
    say({"seconds": time.monotonic() - began})


def say(what: dict[str, object]) -> None:
    """One line of JSON to whoever measures."""
    print(json.dumps(what), flush=True)


def _note(what: str, number: int) -> None:
    file = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{what} {number}\n".encode())
    finally:
        os.close(file)
