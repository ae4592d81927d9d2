"""
The process table: who descends from whom, and signals that cannot hit the wrong process.

The shim uses it on its own tree, the worker on what was left behind. /proc is read row by row and
is never a snapshot, so callers look again until nothing changes. Few imports, because the shim must
start fast.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing or collections.abc would cost the shim milliseconds
    from collections.abc import Callable, Iterator

_STOP_SECONDS = 1.0


class Process:
    """One row; a pid alone can be reused, together with the start time (clock ticks) it cannot."""

    __slots__ = ("parent", "pid", "start", "state")

    def __init__(self, pid: int, stat: bytes) -> None:
        fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may hold anything
        self.pid = pid
        self.state = fields[0]
        self.parent = int(fields[1])
        self.start = int(fields[19])


def find_process(pid: int) -> Process | None:
    """The row of *pid* (a zombie has one too), or None when there is no such process."""
    stat = read_file(pid, "stat")
    return Process(pid, stat) if stat else None


def processes() -> Iterator[Process]:
    """All processes this one may see, as far as they still exist when their turn comes."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := find_process(int(name))):
            yield process


def descendants(root: int) -> list[Process]:
    """Everything below the process *root*, parents before their children."""
    children: dict[int, list[Process]] = {}
    for process in processes():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    pending = [root]
    for pid in pending:
        below = children.get(pid, [])
        found += below
        pending += [process.pid for process in below]
    return found


def send(process: Process, number: int) -> None:
    """Signal exactly *process*; nothing happens when it is gone or belongs to another user."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        now = find_process(process.pid)
        if now and now.start == process.start:
            signal.pidfd_send_signal(pidfd, number)
    os.close(pidfd)


def stop_all(find: Callable[[], list[Process]]) -> list[Process]:
    """
    SIGSTOP what *find* names until two looks in a row find nothing running; what was stopped.

    One quiet look is not enough: what it saw stopped may have forked behind its back before that.
    Gives up after a second, for processes that the kernel cannot stop.
    """
    stopped: dict[tuple[int, int], Process] = {}
    quiet = 0
    limit = time.monotonic() + _STOP_SECONDS
    while quiet < 2 and time.monotonic() < limit:
        running = [p for p in find() if not _is_still(p, signalled=(p.pid, p.start) in stopped)]
        for process in running:
            send(process, signal.SIGSTOP)
            stopped[process.pid, process.start] = process
        quiet = 0 if running else quiet + 1
        time.sleep(0.001)
    return list(stopped.values())


def kill_all(find: Callable[[], list[Process]]) -> list[Process]:
    """SIGKILL what *find* names, all stopped first so that nothing forks away; what was killed."""
    stop_all(find)
    doomed = [process for process in find() if process.state not in {b"Z", b"X"}]
    for process in doomed:
        send(process, signal.SIGKILL)
    return doomed


def read_file(pid: int, name: str) -> bytes:
    """The file *name* of `/proc/<pid>`, empty when the process is gone or not ours to read."""
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
    except OSError:
        return b""
    try:
        blocks: list[bytes] = []
        while block := os.read(fd, 65536):
            blocks.append(block)
        return b"".join(blocks)
    except OSError:  # it ended in between
        return b""
    finally:
        os.close(fd)


def _is_still(process: Process, *, signalled: bool) -> bool:
    """Stopped or dead; or waiting in the kernel (vfork, disk, tracer) with the stop pending."""
    return process.state in {b"T", b"Z", b"X"} or (signalled and process.state in {b"D", b"t"})
