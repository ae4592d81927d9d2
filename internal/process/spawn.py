"""
From an order to a running agent: fork, own session, limits, exec.

Runs in the shim. The order comes from the worker in memory only, because environments hold secrets.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import marshal
import os
import resource
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_FILE = 100
"""The descriptor from which a front reads the first of its files; the shim has far fewer open."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_OOM_SCORE = b"500"  # short of memory, the kernel takes the agent, not the worker


class Order:
    """What to start and its rules; a slot per field keeps it cheap to import and to load."""

    __slots__ = (
        "argv",
        "cwd",
        "drain_seconds",
        "environment",
        "files",
        "front",
        "no_new_privileges",
        "outage_grace_seconds",
        "rlimits",
        "worker",
    )

    def __init__(
        self,
        *,
        argv: list[bytes],
        environment: dict[bytes, bytes],
        cwd: bytes,
        rlimits: list[tuple[int, int]],
        no_new_privileges: bool,
        drain_seconds: float,
        outage_grace_seconds: float,
        worker: int,
        front: list[bytes] | None = None,
        files: list[bytes] | None = None,
    ) -> None:
        self.argv = argv
        self.environment = environment
        self.cwd = cwd
        self.rlimits = rlimits
        self.no_new_privileges = no_new_privileges
        self.drain_seconds = drain_seconds
        self.outage_grace_seconds = outage_grace_seconds
        self.worker = worker
        self.front = front or []
        self.files = files or []

    def dump(self) -> bytes:
        """As bytes for `load` in another process of the same Python."""
        return marshal.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, dumped: bytes) -> Order:
        """The order that `dump` wrote."""
        return cls(**marshal.loads(dumped))  # noqa: S302 - our own worker's; json costs 8 ms a start


class StartError(Exception):
    """
    Nothing was started: *step* (fork, limits, cwd, exec, sandbox) failed with the errno *number*.
    """

    def __init__(self, step: str, number: int, message: str = "") -> None:
        super().__init__(step, number, message)
        self.step = step
        self.number = number
        self.message = message


def spawn(order: Order, enter: Callable[[], None] | None = None) -> int:
    """
    Start the agent on this process' stdin, stdout and stderr; its pid.

    *enter* is called first in the new process.

    Raises:
        StartError: nothing runs.
    """
    report, result = os.pipe()  # closed by exec, so an end of file means success
    shim = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        raise StartError("fork", error.errno or 0) from error
    if pid == 0:
        _become_agent(order, shim, result, enter)
    os.close(result)
    answer = os.read(report, 64)
    os.close(report)
    if not answer:
        return pid
    os.waitpid(pid, 0)
    step, number = answer.split()
    raise StartError(step.decode(), int(number))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def signal_on_parent_death(number: int) -> None:
    """
    Get the signal *number* when the parent ends.

    The kernel means the parent's *thread* that forked; and a parent dead already is not noticed.
    """
    _prctl(_PR_SET_PDEATHSIG, number)


def _become_agent(order: Order, shim: int, result: int, enter: Callable[[], None] | None) -> None:
    step = "limits"
    try:
        if enter is not None:
            enter()
        os.setsid()
        signal_on_parent_death(signal.SIGKILL)
        if os.getppid() != shim:
            os._exit(1)
        _default_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _limit(order)
        step = "cwd"
        os.chdir(order.cwd)
        step = "exec"
        os.execvpe(order.argv[0], order.argv, order.environment)  # noqa: S606 - no shell is meant
    except OSError as error:
        os.write(result, f"{step} {error.errno}".encode())
    except ValueError:  # a null byte in an argument
        os.write(result, f"{step} {errno.EINVAL}".encode())
    finally:  # whatever was raised, the fork never returns into the shim's code
        os._exit(127)


def _default_signals() -> None:
    # Exec keeps what is ignored: Python ignores two, a shell's `&` and nohup up to three more.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError):  # the C library's own two
            signal.signal(number, signal.SIG_DFL)


def _limit(order: Order) -> None:
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
        file.write(_OOM_SCORE)
    for kind, wanted in order.rlimits:
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))
    if order.no_new_privileges:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
