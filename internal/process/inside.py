"""
The first process of a sandbox: it starts the agent and stays until nothing is left; see `enclosed`.

Packets to the shim (SOCK_SEQPACKET, ASCII):

    here                     by the agent before it becomes its program; the kernel adds its pid
    started | failed <step> <errno>
    exited <status>          of the agent, told before its pid is free; as in Popen.returncode

Every agent waits for its start, so it imports little.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from internal.process.spawn import Order, StartError, spawn


def main() -> None:
    """Entry point inside; the arguments are the descriptors of socket, order, and stdio."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as the first process it is deaf to it then
    inherited = [int(argument) for argument in sys.argv[-5:]]
    for fd in inherited:
        os.set_inheritable(fd, False)
    shim, dumped, *stdio = inherited
    with open(dumped, "rb") as file:
        order = Order.load(file.read())

    def enter() -> None:
        for target, fd in enumerate(stdio):
            os.dup2(fd, target)
        os.write(shim, b"here")

    try:
        agent = spawn(order, enter)
    except StartError as error:
        os.write(shim, f"failed {error.step} {error.number}".encode())
        return
    os.write(shim, b"started")
    for fd in stdio:  # their end of file has to mean that the agent's tree closed them
        os.close(fd)
    _stay(agent, shim)


def _stay(agent: int, shim: int) -> None:
    """Collect the dead until nothing is left inside; tell of the agent before its pid is free."""
    with contextlib.suppress(ChildProcessError):
        while True:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            assert dead is not None  # noqa: S101 - for the type checker: it waits
            if dead.si_pid == agent:
                signalled = dead.si_code != os.CLD_EXITED
                status = -dead.si_status if signalled else dead.si_status
                with contextlib.suppress(OSError):
                    os.write(shim, f"exited {status}".encode())
            os.waitpid(dead.si_pid, 0)
