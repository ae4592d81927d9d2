"""
What a dead worker left behind: found by the marker in its environment, and ended.

Every process of a run inherits `CODEFORGE_RUN=<home>.<worker pid>.<its start time>.<claim>`. The
shim ends its tree by itself; this is for the case that the shim was killed too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from internal.process.proctable import (
    Process,
    find_process,
    kill_all,
    processes,
    read_file,
)

RUN_VARIABLE = "CODEFORGE_RUN"

_END_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMarker:
    """Whose process it is; `str()` makes the variable's value. Only `home` may hold a dot."""

    home: str
    worker: int
    worker_start: int
    """In clock ticks since boot; together with the pid it names one process only."""
    claim: str

    def __str__(self) -> str:
        return f"{self.home}.{self.worker}.{self.worker_start}.{self.claim}"

    @classmethod
    def parse(cls, text: str) -> RunMarker | None:
        """The marker that *text* is, None when it is none."""
        match text.rsplit(".", 3):
            case [home, worker, start, claim] if worker.isdecimal() and start.isdecimal():
                return cls(home=home, worker=int(worker), worker_start=int(start), claim=claim)
            case _:
                return None


def own_marker(*, home: str, claim: str) -> RunMarker:
    """The marker for what this process starts for *claim*."""
    return RunMarker(home=home, worker=os.getpid(), worker_start=_own_start(), claim=claim)


def find_start_time(pid: int) -> int | None:
    """When the process *pid* started, in clock ticks since boot; None when there is none."""
    process = find_process(pid)
    return process.start if process else None


def end_leftovers(home: str) -> int:
    """
    End all processes of *home* whose worker is gone; how many. Blocks, up to 10 s.

    Call it when a worker starts: what live workers of the same home own is spared.
    """
    return _end(lambda marker: _is_orphan(marker, home))


def end_marked(marker: str) -> int:
    """End all processes that carry exactly *marker*; how many. Blocks, up to 10 s."""
    return _end(lambda found: found == marker)


@cache
def _own_start() -> int:
    start = find_start_time(os.getpid())
    if start is None:
        raise AssertionError("A running process has a row in the process table")
    return start


def _is_orphan(text: str, home: str) -> bool:
    marker = RunMarker.parse(text)
    if marker is None or marker.home != home:
        return False
    return find_start_time(marker.worker) != marker.worker_start


def _end(is_wanted: Callable[[str], bool]) -> int:
    def find() -> list[Process]:
        return [process for process in processes() if is_wanted(_marker_of(process.pid))]

    ended: set[tuple[int, int]] = set()
    limit = time.monotonic() + _END_SECONDS
    while time.monotonic() < limit and (killed := kill_all(find)):
        ended.update((process.pid, process.start) for process in killed)
    return len(ended)


def _marker_of(pid: int) -> str:
    """The value of the variable, empty for processes without it and for our own."""
    if pid == os.getpid():
        return ""
    prefix = f"{RUN_VARIABLE}=".encode()
    for variable in read_file(pid, "environ").split(b"\0"):
        if variable.startswith(prefix):
            return os.fsdecode(variable.removeprefix(prefix))
    return ""
