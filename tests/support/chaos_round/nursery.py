"""
The processes of a round: a nursery that has imported everything forks each worker and server.

A worker that is started anew takes a second of a core; a forked one takes a hundredth, so many can
be killed. The nursery may stand on another version of the project: what it imports is what its
PYTHONPATH says. It speaks lines of JSON, {"start": role, "environment", "log"} on stdin and
{"started": pid} or {"ended": pid, "status"} on stdout; its children die with it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import select
import signal
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


def main() -> None:
    """`nursery TREE` serves its stdin; `nursery alone` is the worker that runs tasks alone."""
    if sys.argv[1] == "alone":
        _live("alone")
        return
    own = str(Path(runtime.__file__).resolve())
    if not own.startswith(sys.argv[1]):
        raise SystemExit(f"{own} is not of {sys.argv[1]}")
    _say(ready=True)
    _serve_stdin()


def _serve_stdin() -> None:
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], _LOOK_SECONDS)
        _bury()
        if not ready:
            continue
        if not (chunk := os.read(0, 65_536)):
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            order = json.loads(line)
            pid = _fork(order["start"], order["environment"], order["log"])
            _say(started=pid)


def _bury() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(ended=pid, status=os.waitstatus_to_exitcode(status))


def _say(**members: object) -> None:
    os.write(1, json.dumps(members).encode() + b"\n")


def _fork(role: str, environment: Mapping[str, str], log: str) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number, file in enumerate((nothing, written, written)):
            os.dup2(file, number)
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
    argv = [sys.executable, "-m", "tests.support.chaos_round.nursery", "alone"]
    async with (
        open_core(settings, secrets) as core,
        open_worker(core, alone=alone, alone_argv=argv) as worker,
    ):
        await worker.run(stop)
        await asyncio.sleep(0)


if __name__ == "__main__":
    main()
