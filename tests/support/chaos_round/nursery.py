"""
The processes of a round: a nursery that has imported everything forks each worker and server.

A worker that is started anew takes a second of a core; a forked one takes a hundredth, so many can
be killed. The nursery may stand on another version of the project: what it imports is what its
PYTHONPATH says. It speaks lines of JSON, {"start": role, "environment", "log"} on stdin and
{"started": pid} or {"ended": pid, "status"} on stdout; its children die with it.

A worker that starts another one to run alone gets it from here, too: what it starts is `waiting`,
a small program that asks at the socket `alone`, and lives as long as what was forked for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from codeforge import runtime
from codeforge.commands.serve import serve
from codeforge.wiring.core import open_core
from codeforge.wiring.worker import open_worker
from internal.errors import Unavailable
from internal.worker.alone import alone_lock
from tests.support.chaos_round import seams
from tests.support.chaos_round.ledger import Ledger

REDIS_AWAY = 75
"""Exit status of a process that found no Redis when it started."""

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.02
_FILES = 1024
"""More than a nursery has open."""


class Nursery:
    """Forks on demand of its stdin and of the programs at its socket."""

    def __init__(self, door: socket.socket) -> None:
        self._door = door
        self._buffer = b""
        self._waiting: dict[socket.socket, int] = {}
        self._draining: dict[socket.socket, int] = {}

    def serve(self) -> None:
        """Until stdin ends."""
        while True:
            files: list[int | socket.socket] = [0, self._door, *self._waiting]
            ready, _, _ = select.select(files, [], [], _LOOK_SECONDS)
            self._bury()
            for file in ready:
                if isinstance(file, int):
                    if not self._read_orders():
                        return
                elif file is self._door:
                    self._fork_alone()
                elif file in self._waiting:
                    self._stop_alone(file)

    def _read_orders(self) -> bool:
        chunk = os.read(0, 65_536)
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            order = json.loads(line)
            _say(started=_fork(order["start"], order["environment"], order["log"]))
        return bool(chunk)

    def _fork_alone(self) -> None:
        asker, _ = self._door.accept()
        with asker.makefile("rb") as lines:
            line = lines.readline()
        if not line:  # its worker was killed just then
            return
        order = json.loads(line)
        self._waiting[asker] = _fork("alone", order, order["CHAOS_LOG"])

    def _stop_alone(self, asker: socket.socket) -> None:
        """It was told to end, or was killed: what it stands for drains."""
        self._draining[asker] = pid = self._waiting.pop(asker)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)

    def _bury(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            _say(ended=pid, status=os.waitstatus_to_exitcode(status))
            for askers in (self._waiting, self._draining):
                for asker in [asker for asker, alone in askers.items() if alone == pid]:
                    del askers[asker]
                    asker.close()


def main() -> None:
    """`nursery TREE` serves its stdin."""
    own = str(Path(runtime.__file__).resolve())
    if not own.startswith(sys.argv[1]):
        raise SystemExit(f"{own} is not of {sys.argv[1]}")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"alone-{os.getpid()}")
        door.listen(64)
        _say(door=f"{os.getcwd()}/alone-{os.getpid()}")
        Nursery(door).serve()


def _say(**members: object) -> None:
    os.write(1, json.dumps(members).encode() + b"\n")


def _fork(role: str, environment: Mapping[str, str], log: str) -> int:
    parent = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return pid
    status = 1
    try:
        # Told to leave before it hears that, it has nothing to hand back yet.
        signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number, file in enumerate((nothing, written, written)):
            os.dup2(file, number)
        os.closerange(3, _FILES)
        os.environ.clear()
        os.environ.update(environment)
        status = _live_or_say(role)
    finally:
        os._exit(status)


def _live_or_say(role: str) -> int:
    try:
        _live(role)
    except Unavailable:  # at its start, as an operator sees it, who starts it again
        return REDIS_AWAY
    except BaseException:  # noqa: BLE001 - the last frame of a process; it is all in its log
        traceback.print_exc()
        return 1
    return 0


def _live(role: str) -> None:
    if role == "server":
        serve(data_dir=None)
        return
    seams.install(Ledger(Path(os.environ["CHAOS_LEDGER"])), Path(os.environ["CHAOS_PULLS"]))
    with ExitStack() as stack:
        lock = Path(os.environ["CODEFORGE_DATA_DIR"]) / "alone.lock"
        if role == "alone" and not stack.enter_context(alone_lock(lock)):
            return  # another one runs on this home
        runtime.run(_work(alone=role == "alone"))


async def _work(*, alone: bool) -> None:
    stop = runtime.stop_event()
    settings = runtime.load(os.environ).settings
    secrets = runtime.find_secrets(settings)
    runtime.start_logs(settings, secrets)
    argv = [sys.executable, "-IS", str(Path(__file__).with_name("waiting.py"))]
    async with (
        open_core(settings, secrets) as core,
        open_worker(core, alone=alone, alone_argv=argv) as worker,
    ):
        await worker.run(stop)
        await asyncio.sleep(0)


if __name__ == "__main__":
    main()
