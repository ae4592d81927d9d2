"""
An agent behind a front that encloses it: how the shim starts it there and hears of its end.

Bubblewrap itself tells a death by signal as an exit code, keeps its pipes open, and ends everything
with the agent. So it gets nothing to do but to start a process of ours as the first one of its PID
namespace. That one starts the agent as the shim would, says what became of it, and stays until
nothing is left inside; when it dies, the kernel kills all that is inside.

The order goes in by descriptor, in memory: neither the arguments nor the environment of the front
or of the first process hold anything of the agent's. What is said inside is in `inside`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import struct

from internal.process.spawn import FIRST_FILE, Order, StartError, spawn

_START_SECONDS = 20.0  # takes 20 ms; a front may wait for a dead network disk
_COMPLAINT_BYTES = 500  # more than one packet takes is too much
_STATUSES = range(-signal.NSIG, 256)
_CREDENTIALS = struct.Struct("3i")


class Enclosed:
    """A running agent behind its front; `pid` is the agent's as seen from outside."""

    def __init__(self, front: int, pid: int, inside: socket.socket) -> None:
        self.pid = pid
        self.front = front
        self._inside = inside
        self._inside.setblocking(False)

    def fileno(self) -> int:
        """Readable when something was said."""
        return self._inside.fileno()

    def status(self) -> int | None:
        """
        How the agent ended, when that was said since the last call.

        The agent could speak for its first process, so what is no status counts as nothing.
        """
        try:
            status = int(self._inside.recv(64).removeprefix(b"exited "))
        except (OSError, ValueError):  # nothing said, or nobody there any more
            return None
        return status if status in _STATUSES else None

    def kill(self) -> None:
        """Kill the front, and with it everything inside; only before it is reaped."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.front, signal.SIGKILL)


def spawn_enclosed(order: Order) -> Enclosed:
    """
    Start the agent behind `order.front` on this process' stdin, stdout and stderr.

    Raises:
        StartError: nothing runs; its step is `sandbox` when the front failed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    ours.settimeout(_START_SECONDS)
    complaints = os.memfd_create("complaints")
    with theirs:
        front = _start_front(order, theirs.fileno(), complaints)
    try:
        return Enclosed(front, _hear_start(ours), ours)
    except OSError as error:
        raise StartError("sandbox", error.errno or 0, _content(complaints)) from error
    except StartError:
        ours.close()
        raise
    finally:
        os.close(complaints)


def _hear_start(inside: socket.socket) -> int:
    """The agent's pid, once it runs; OSError when the front failed, StartError when the agent."""
    pid = 0
    while True:
        packet, attached, _, _ = inside.recvmsg(256, socket.CMSG_SPACE(_CREDENTIALS.size))
        match packet.split():
            case [b"here"]:
                pid = int(_CREDENTIALS.unpack(attached[0][2])[0])
            case [b"started"]:
                return pid
            case [b"failed", step, number]:
                raise StartError(step.decode(), int(number))
            case _:
                raise ConnectionAbortedError


def _start_front(order: Order, inside: int, complaints: int) -> int:
    stdio = [os.dup(fd) for fd in (0, 1, 2)]
    files = [_in_memory(content) for content in (order.dump(), *order.files)]

    def redirect() -> None:
        null = os.open("/dev/null", os.O_RDWR)
        for target, fd in enumerate((null, null, complaints)):
            os.dup2(fd, target)
        for fd in (inside, files[0], *stdio):
            os.set_inheritable(fd, True)
        for target, fd in enumerate(files[1:], FIRST_FILE):
            os.dup2(fd, target)

    descriptors = (inside, files[0], *stdio)
    front = Order(
        argv=[*order.front, *(str(fd).encode() for fd in descriptors)],
        environment=dict(os.environb),
        cwd=order.cwd,
        rlimits=[limit for limit in order.rlimits if limit[0] == resource.RLIMIT_CORE],
        no_new_privileges=False,  # a front may need its own, and gives them up itself
        drain_seconds=0,
        outage_grace_seconds=0,
        worker=0,
    )
    try:
        return spawn(front, redirect)
    except StartError as error:
        step = "sandbox" if error.step == "exec" else error.step
        raise StartError(step, error.number, os.strerror(error.number)) from error
    finally:
        for fd in (*stdio, *files):
            os.close(fd)


def _in_memory(content: bytes) -> int:
    fd = os.memfd_create("file")
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _content(fd: int) -> str:
    return os.pread(fd, _COMPLAINT_BYTES, 0).decode(errors="replace").strip()
