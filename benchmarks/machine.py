"""The machine in one line, because no figure means anything without it."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.table import millis, percentile
from internal.rdb.program import find_server

_SYNCS = 200
_GIB = 1 << 30


def describe() -> str:
    """Processor, memory, kernel, programs, the disk's fdatasync, and how busy it is right now."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB
    syncs = _syncs()
    return (
        f"{cores} cores ({_processor()}), {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, "
        f"{_said(str(find_server()), '--version')}, {_said('git', '--version')}; "
        f"fdatasync p50 {millis(percentile(syncs, 50))} ms, "
        f"p99 {millis(percentile(syncs, 99))} ms; {load()}"
    )


def load() -> str:
    """The load average of the last minute, and when."""
    return f"load {os.getloadavg()[0]:.2f} at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _said(*argv: str) -> str:
    """The part of a program's version line that names program and version."""
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 - our own words
    words = done.stdout.split()
    version = next(word for word in words if any(letter.isdigit() for letter in word))
    return f"{words[0]} {version.removeprefix('v=')}"


def _syncs() -> list[float]:
    """Seconds that writing and syncing 4 KiB took, in the directory all benchmarks use."""
    taken: list[float] = []
    with tempfile.TemporaryFile() as file:
        for _ in range(_SYNCS):
            os.write(file.fileno(), bytes(4096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return taken
