"""
The worker's end of one shim: start it, tell it, and know what it said.

Packets are described in `shim`. Telling never blocks and is allowed from any thread, because the
lease is renewed by a thread of its own, which must not wait for the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import internal
from internal.process.childexit import exit_of
from internal.process.leftovers import RUN_VARIABLE
from internal.process.pipes import Stdio
from internal.process.spawn import Order

_ROOT = Path(internal.__file__).parents[1]
_BOOT = "import sys; sys.path.append(sys.argv[1]); from internal.process.shim import main; main()"


class ShimLink:
    """What one shim said so far, and the ways to tell it something; `open_link` makes one."""

    def __init__(self, shim: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._shim = shim
        self._control = control
        self._sending = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._frozen_seconds = 0.0
        self._frozen_since: float | None = None
        self.pid: int | None = None
        """The agent's, once it was started."""
        self.failed: tuple[str, int, str] | None = None
        """The step and errno that kept the agent from starting, and what the sandbox said."""
        self.exited: tuple[int, str] | None = None
        """Status (as Popen.returncode) and cause, once the agent itself has ended."""
        self.survivors = 0
        """Processes that had to be killed after the agent had ended by itself."""
        self.is_gone = False
        """The shim saw the end of the whole tree."""
        self.answered: asyncio.Future[None] = self._loop.create_future()
        """Done when `pid` or `failed` is known, or the shim ended without a word."""
        self.on_exit: Callable[[], None] = lambda: None
        self.ended = exit_of(shim.pid)
        """Done when the shim has ended; then call `collect`."""
        self._loop.add_reader(control.fileno(), self.hear)

    @property
    def is_frozen(self) -> bool:
        """Whether the tree stands still, as far as the shim said."""
        return self._frozen_since is not None

    def frozen_seconds(self) -> float:
        """How long the tree stood still in all; true also right after we stood still ourselves."""
        self.hear()
        now = 0.0 if self._frozen_since is None else time.monotonic() - self._frozen_since
        return self._frozen_seconds + now

    def tell(self, packet: str) -> None:
        """Send *packet* without blocking; lost when the shim is dead or hears nothing any more."""
        with self._sending, contextlib.suppress(OSError):
            self._control.send(packet.encode(), socket.MSG_DONTWAIT)

    def hear(self) -> None:
        """Take what the shim has said meanwhile; the loop calls this by itself."""
        while self._control.fileno() >= 0:
            try:
                packet = self._control.recv(4096, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionError:
                packet = b""
            if not packet:
                self._loop.remove_reader(self._control.fileno())
                self._answer()
                return
            self._take(packet.decode().split())

    def wake(self) -> None:
        """Continue the shim itself, in case something stopped it."""
        self._shim.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the shim itself; the agent dies with it, its descendants are the caller's."""
        self._shim.kill()

    def collect(self) -> None:
        """After `ended`: take its last words, reap it, close the socket."""
        self.hear()
        self._shim.wait()
        self._set_frozen(None, time.monotonic())
        with self._sending:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()

    def _take(self, words: list[str]) -> None:
        match words:
            case ["started", pid]:
                self.pid = int(pid)
                self._answer()
            case ["failed", step, number, *said]:
                self.failed = (step, int(number), " ".join(said))
                self._answer()
            case ["frozen", at]:
                self._set_frozen(float(at), float(at))
            case ["thawed", at]:
                self._set_frozen(None, float(at))
            case ["exited", status, cause]:
                self.exited = (int(status), cause)
                self.on_exit()
            case ["survivors", count]:
                self.survivors = int(count)
            case ["gone"]:
                self.is_gone = True
            case _:
                raise AssertionError(f"The shim said {words}")

    def _answer(self) -> None:
        if not self.answered.done():
            self.answered.set_result(None)

    def _set_frozen(self, since: float | None, at: float) -> None:
        if self._frozen_since is not None:
            self._frozen_seconds += at - self._frozen_since
        self._frozen_since = since


def open_link(order: Order, *, marker: str, stdio: Stdio) -> ShimLink:
    """
    Start a shim for *order*; its agent gets the descriptors *stdio*, which the caller closes.

    Call it on the main thread: the kernel tells the shim of the end of the thread that started it.

    Raises:
        OSError: the system refused.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            return ShimLink(_start(order, theirs, marker=marker, stdio=stdio), ours)
        except OSError:
            ours.close()
            raise


def _start(
    order: Order, control: socket.socket, *, marker: str, stdio: Stdio
) -> subprocess.Popen[bytes]:
    with open(os.memfd_create("order"), "wb+") as dumped:
        dumped.write(order.dump())
        dumped.flush()
        dumped.seek(0)
        inherited = (control.fileno(), dumped.fileno())
        return subprocess.Popen(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-I", "-S", "-c", _BOOT, str(_ROOT), *map(str, inherited)],
            stdin=stdio.stdin,
            stdout=stdio.stdout,
            stderr=stdio.stderr,
            cwd="/",  # holds no directory of a task
            env={RUN_VARIABLE: marker, **_library_path()},
            pass_fds=inherited,
            start_new_session=True,  # Ctrl-C is for the worker, which then ends the agent properly
        )


def _library_path() -> dict[str, str]:
    """Some builds of Python do not start without it."""
    name = "LD_LIBRARY_PATH"
    return {name: os.environ[name]} if name in os.environ else {}
