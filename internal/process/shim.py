"""
The small process above each agent: it owns the agent's whole tree and ends it, whatever happens.

The worker cannot do this itself: it may be killed or stopped at any moment, and a process group
misses daemons in sessions of their own. The shim is a subreaper, so every orphan below it becomes
its child; it stays until nothing of the tree is left, and outlives its worker by a moment only. It
keeps the dead-man's timer: a tree whose lease is about to end is frozen, and killed when no later
lease comes.

Packets on the control socket (SOCK_SEQPACKET, ASCII; times are CLOCK_MONOTONIC, which all processes
of a machine share):

    worker to shim   lease <t>                the lease now ends at t
                     freeze | thaw            on request; a lease that is over freezes by itself
                     end <a> <b>              SIGINT, a seconds later SIGTERM, b seconds later kill
                     kill
    shim to worker   started <pid> | failed <step> <errno> <message>
                     frozen <t> | thawed <t>
                     exited <status> <cause>  of the agent itself; status as in Popen.returncode
                     survivors <n>            so many had to be killed after the agent's own end
                     gone                     nothing of the tree is left
    end of file      the worker is dead: kill

It starts with each agent and stays, so it imports little.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

from internal.process.proctable import Process, descendants, kill_all, send, stop_all
from internal.process.spawn import Order, StartError, adopt_orphans, signal_on_parent_death, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from internal.process.enclosed import Enclosed

FREEZE_MARGIN_SECONDS = 3.0
"""A tree freezes this long before its lease ends, so nothing of it runs beside the next claim."""

_DEAD = frozenset({b"Z", b"X"})
_LOOK_SECONDS = 1.0  # at a frozen tree: somebody may have sent SIGCONT; at a dying one: stragglers
_FIRST_PATIENCE_SECONDS = 0.05
_PARTING_SECONDS = 0.25
"""For helpers of an agent that has ended, which end a moment after it: they are no survivors."""


class Shim:
    """The loop: packets, dead children and the clock in; signals to the tree out."""

    def __init__(self, control: int, order: Order) -> None:
        self._control = control
        self._order = order
        self._agent = 0
        self._enclosed: Enclosed | None = None
        self._exited = False
        self._cause = "exited"
        self._doomed = False
        self._counted = False
        self._kill_at = 0.0
        self._patience_seconds = _FIRST_PATIENCE_SECONDS
        self._lease_end: float | None = None
        self._held = False
        self._frozen: dict[tuple[int, int], Process] | None = None
        self._steps: list[tuple[float, int]] = []
        self._drain_until: float | None = None
        self._wake = -1

    def run(self) -> None:
        """Start the agent and stay until nothing of its tree is left."""
        self._listen()
        try:
            self._start()
        except StartError as error:
            _clear()
            self._tell(f"failed {error.step} {error.number} {error.message}")
            return
        self._tell(f"started {self._agent}")
        _release_stdio()
        while not self._reap():
            self._obey()
            self._wait(self._act(time.monotonic()))
        self._tell("gone")

    def _listen(self) -> None:
        os.set_blocking(self._control, False)
        self._wake, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _only_wake)
        adopt_orphans()
        # No order by itself (service managers send it to everybody): `_obey` looks who died.
        signal_on_parent_death(signal.SIGTERM)

    def _start(self) -> None:
        if not self._order.front:
            self._agent = spawn(self._order)
            return
        from internal.process.enclosed import spawn_enclosed  # noqa: PLC0415 - costs 5 ms

        self._enclosed = spawn_enclosed(self._order)
        self._agent = self._enclosed.pid

    def _reap(self) -> bool:
        """Collect the dead; True when nothing is left: without a child there is no descendant."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            self._hear_inside()
            if pid == 0:
                return False
            if self._enclosed and pid == self._enclosed.front:
                self._enclosed = None
                self._note_exit(-signal.SIGKILL)  # else its end was told from inside
            elif pid == self._agent and not self._enclosed:
                self._note_exit(os.waitstatus_to_exitcode(status))

    def _hear_inside(self) -> None:
        if self._enclosed and (status := self._enclosed.status()) is not None:
            self._note_exit(status)

    def _note_exit(self, status: int) -> None:
        if self._exited:
            return
        self._exited = True
        self._drain_until = time.monotonic() + self._order.drain_seconds
        self._tell(f"exited {status} {self._cause}")

    def _obey(self) -> None:
        """Take the worker's packets; its death is the order to kill."""
        if os.getppid() != self._order.worker:
            self._doom("ended")
        while not self._doomed:
            try:
                packet = os.read(self._control, 4096)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            self._take(packet.decode().split() or ["kill"])

    def _take(self, words: list[str]) -> None:
        match words:
            case ["lease", until]:
                self._lease_end = max(float(until), self._lease_end or 0.0)
            case ["freeze"]:
                self._held = True
            case ["thaw"]:
                self._held = False
            case ["end", interrupt_seconds, terminate_seconds] if not self._exited:
                self._plan_end(float(interrupt_seconds), float(terminate_seconds))
            case ["kill"] if self._drain_until is not None and self._cause == "exited":
                self._drain_until = min(self._drain_until, time.monotonic() + _PARTING_SECONDS)
            case _:
                self._doom("ended")

    def _plan_end(self, interrupt_seconds: float, terminate_seconds: float) -> None:
        if self._cause == "ended":
            return
        self._cause = "ended"
        start = time.monotonic()
        self._steps = [
            (start, signal.SIGINT),
            (start + interrupt_seconds, signal.SIGTERM),
            (start + interrupt_seconds + terminate_seconds, signal.SIGKILL),
        ]

    def _doom(self, cause: str) -> None:
        if self._doomed:
            return
        if not self._exited:
            self._cause = cause
        self._doomed = True
        # A fork bomb takes every fair share of the processor; where it is allowed, run before it.
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))

    def _act(self, now: float) -> float | None:
        """Do what is due at *now*; the time to act again, None for never."""
        due = (self._act_on_end(now), self._act_on_exit(now), self._act_on_lease(now))
        if self._doomed:
            return self._kill(now)
        return min((at for at in due if at is not None), default=None)

    def _kill(self, now: float) -> float:
        """A round of killing; the next only after a while, for what the table did not show yet."""
        if now >= self._kill_at:
            self._count_survivors()
            if self._enclosed:
                self._enclosed.kill()
            kill_all(_tree)
            self._kill_at = time.monotonic() + self._patience_seconds
            self._patience_seconds = min(self._patience_seconds * 2, _LOOK_SECONDS)
        return self._kill_at

    def _count_survivors(self) -> None:
        """Tell, once, what an agent that ended by itself has left; its sandbox is none of it."""
        if self._counted or not self._exited or self._cause != "exited":
            return
        self._counted = True
        front = self._enclosed.front if self._enclosed else 0
        left = [p for p in _tree() if front not in {p.pid, p.parent} and p.state not in _DEAD]
        if left:
            self._tell(f"survivors {len(left)}")

    def _act_on_end(self, now: float) -> float | None:
        while self._steps and self._steps[0][0] <= now:
            number = self._steps.pop(0)[1]
            self._hear_inside()
            if number == signal.SIGKILL:
                self._doom("ended")
            elif not self._exited:  # reaped, its id may be another group's
                with contextlib.suppress(PermissionError, ProcessLookupError):
                    os.killpg(self._agent, number)
                self._thaw()
        return self._steps[0][0] if self._steps else None

    def _act_on_exit(self, now: float) -> float | None:
        if self._drain_until is not None and now >= self._drain_until:
            self._doom(self._cause)
        return self._drain_until

    def _act_on_lease(self, now: float) -> float | None:
        """Freeze and thaw, on request and by the dead-man's timer; what is ending stays awake."""
        if self._doomed or self._cause == "ended":
            return None
        freeze_at = kill_at = float("inf")
        if self._lease_end is not None:
            freeze_at = self._lease_end - FREEZE_MARGIN_SECONDS
            kill_at = freeze_at + self._order.outage_grace_seconds
        if now >= kill_at:
            self._doom("lease")
            return None
        if self._held or now >= freeze_at:
            self._freeze()
            return min(now + _LOOK_SECONDS, kill_at)
        self._thaw()
        return freeze_at if self._lease_end is not None else None

    def _freeze(self) -> None:
        stopped = stop_all(_tree)
        if self._frozen is None:
            self._frozen = {}
            self._tell(f"frozen {time.monotonic()}")
        self._frozen.update({(process.pid, process.start): process for process in stopped})

    def _thaw(self) -> None:
        """Continue what `_freeze` stopped and nothing that was stopped before; children first."""
        if self._frozen is None:
            return
        for process in reversed(self._frozen.values()):
            send(process, signal.SIGCONT)
        self._frozen = None
        self._tell(f"thawed {time.monotonic()}")

    def _wait(self, until: float | None) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if not self._doomed:  # at its end of file it would be ready for ever
            poll.register(self._control, select.POLLIN)
        if self._enclosed and not self._exited:
            poll.register(self._enclosed, select.POLLIN)
        poll.poll(None if until is None else max(0.0, until - time.monotonic()) * 1000 + 1)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)

    def _tell(self, packet: str) -> None:
        with contextlib.suppress(OSError):  # dead, or stopped so long that it knows anyway
            os.write(self._control, packet.encode())


def main() -> None:
    """Entry point: the arguments are the inherited file descriptors of socket and order."""
    control, order = int(sys.argv[-2]), int(sys.argv[-1])
    os.set_inheritable(control, False)
    with open(order, "rb") as file:
        dumped = file.read()
    Shim(control, Order.load(dumped)).run()


def _tree() -> list[Process]:
    return descendants(os.getpid())


def _clear() -> None:
    """Leave nothing of what could not be started."""
    kill_all(_tree)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _only_wake(number: int, frame: FrameType | None) -> None:
    """A handler, so that the signal reaches the wake-up pipe and exec resets it."""


def _release_stdio() -> None:
    """Let go of the agent's pipes: their end of file has to mean that the tree closed them."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
