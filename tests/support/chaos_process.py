"""
A worker as a process of its own, which a test may kill, stop, or tell to stop.

Everything it starts for its agents carries the marker `CODEFORGE_RUN=<home>.<its pid>.`, so what
survives it is found wherever it hides.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.waiting import until

_END_SECONDS = 30


class WorkerProcess:
    """One `codeforge worker`; `log` is what it wrote to stderr."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], *, home: str, log: Path
    ) -> None:
        self.home = home
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                argv,
                env=environment,
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self._process.poll()

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """`kill -9`, and return when it is dead."""
        self._process.kill()
        self._process.wait(_END_SECONDS)

    async def ended(self) -> int:
        """Its exit status, once it has ended."""
        await until(f"worker {self.pid} ended", lambda: self.exit_status is not None)
        assert self.exit_status is not None
        return self.exit_status

    def agents(self) -> list[str]:
        """The processes it started for agents, and theirs."""
        return processes_with(f"CODEFORGE_RUN={self.home}.{self.pid}.")

    def agent_states(self) -> set[str]:
        """The states (letters of /proc/<pid>/stat) of those that are no shim."""
        lines = [line for line in self.agents() if "internal.process.shim" not in line]
        return {_state(int(line.partition(":")[0])) for line in lines}


class ServerProcess(WorkerProcess):
    """One `codeforge serve`, which runs no agents; `url` is where it listens."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], *, url: str, log: Path
    ) -> None:
        super().__init__(argv, environment, home="", log=log)
        self.url = url


def processes_with(text: str) -> list[str]:
    """Every process that has *text* in its environment, as `pid: command line`."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it ended while we looked
            if text.encode() in (entry / "environ").read_bytes():
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(f"{entry.name}: {words.decode(errors='replace')[:300]}")
    return found


def children_of(pid: int) -> dict[int, str]:
    """The processes below *pid*, all generations, with their command lines."""
    found: dict[int, str] = {}
    below = {pid}
    while below:
        below = {child for parent in below for child in _children(parent)} - found.keys()
        found.update({child: _words(child) for child in below})
    return found


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [
            int(child)
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
    return []


def _words(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def _state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return ""
