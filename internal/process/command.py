"""
Short programs of ours (git, version probes): run, with bounded time and output.

Not for agents: there is no shim, so a command dies with the worker and its process group dies with
the command, but a daemon in a session of its own would not. No shell reads the arguments.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import internal
from internal.process.childexit import exit_of, uncancelled
from internal.process.errors import (
    CommandTimedOut,
    ExecutableMissing,
    NotExecutable,
    StartFailed,
    WorkingDirectoryMissing,
)
from internal.process.pipes import PipeReader, PipeWriter, Stdio, Tail, open_stdio

_STDERR_BYTES = 65_536
_DRAIN_SECONDS = 1.0  # for what a command left running in the background
_KILL_SECONDS = 10.0  # takes a moment, except for what waits for a dead network disk
_DYING_WITH_US = (
    "import os, sys; sys.path.append(sys.argv[1]); "
    "from internal.process.spawn import signal_on_parent_death; "
    "signal_on_parent_death(9); os.getppid() == int(sys.argv[2]) or sys.exit(1); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)
_IF_WE_LIVE = 'test "$PPID" = "$0" && exec "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a command ended; `exit_code` is negative for a signal, as in Popen."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    """The last 64 KiB."""
    truncated: bool
    """More than `max_output_bytes` came; `stdout` is the beginning of it."""


async def run_command(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path,
    timeout_seconds: float,
    stdin: bytes | None = None,
    max_output_bytes: int = 16 * 1024 * 1024,
) -> CommandResult:
    """
    Run *argv* and return what it printed, whatever its exit code.

    *environment* is complete; the program is looked for on its PATH. Without *stdin* its input ends
    at once. Cancelled or too late, it is killed with its process group before this returns. Call it
    on the main thread: a command dies with the thread that started it.

    Raises:
        ExecutableMissing, NotExecutable, WorkingDirectoryMissing, StartFailed: nothing ran.
        CommandTimedOut: it did not end within *timeout_seconds* and was killed.
    """
    command = _start(argv, environment=environment, cwd=cwd, max_output_bytes=max_output_bytes)
    try:
        command.stdin.write(stdin or b"")
        command.stdin.close()
        async with asyncio.timeout(timeout_seconds):
            await asyncio.wait({command.ended})
            await asyncio.wait({command.drained}, timeout=_DRAIN_SECONDS)
    except TimeoutError as error:
        message = f"{argv[0]} did not end within {timeout_seconds:g} s"
        raise CommandTimedOut(message, stderr=command.stderr.content()) from error
    finally:
        await uncancelled(command.finish())
    return command.result()


class _Command:
    """One running command and what it said so far."""

    def __init__(self, child: subprocess.Popen[bytes], stdio: Stdio, max_output_bytes: int) -> None:
        self._child = child
        self._max_output_bytes = max_output_bytes
        self._output = bytearray()
        self._is_truncated = False
        self.stderr = Tail(_STDERR_BYTES)
        self.ended = exit_of(child.pid)
        self.drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stdin = PipeWriter(stdio.stdin)
        self._readers = (
            PipeReader(stdio.stdout, on_block=self._keep, on_end=self._on_end),
            PipeReader(stdio.stderr, on_block=self.stderr.add, on_end=self._on_end),
        )

    async def finish(self) -> None:
        """Kill what is left of the group, reap, close."""
        with suppress(ProcessLookupError):  # not reaped yet, so the group is still its own
            os.killpg(self._child.pid, signal.SIGKILL)
        await asyncio.wait({self.ended}, timeout=_KILL_SECONDS)
        self.ended.cancel()
        self._child.poll()
        self.stdin.abort()
        for reader in self._readers:
            reader.finish()

    def result(self) -> CommandResult:
        """After `finish`."""
        return CommandResult(
            exit_code=self._child.returncode,
            stdout=bytes(self._output),
            stderr=self.stderr.content(),
            truncated=self._is_truncated,
        )

    def _keep(self, block: bytes) -> None:
        room = self._max_output_bytes - len(self._output)
        self._output += block[:room]
        self._is_truncated |= len(block) > room

    def _on_end(self) -> None:
        if all(reader.ended for reader in self._readers) and not self.drained.done():
            self.drained.set_result(None)


def _start(
    argv: Sequence[str], *, environment: Mapping[str, str], cwd: Path, max_output_bytes: int
) -> _Command:
    program = _find_program(argv[0], environment)
    try:
        with open_stdio() as (ours, theirs):
            child = subprocess.Popen(  # noqa: S603 - no shell, and callers build argv
                [*_dying_with_us(), program, *argv[1:]],
                stdin=theirs.stdin,
                stdout=theirs.stdout,
                stderr=theirs.stderr,
                cwd=cwd,
                env=environment,
                start_new_session=True,
            )
            return _Command(child, ours, max_output_bytes)
    except OSError as error:
        if error.filename == cwd:
            raise WorkingDirectoryMissing(f"Cannot enter {cwd}", errno=error.errno) from error
        raise StartFailed(f"{argv[0]} cannot be started", errno=error.errno) from error


def _find_program(name: str, environment: Mapping[str, str]) -> str:
    if program := shutil.which(name, path=environment.get("PATH", os.defpath)):
        return program
    if os.path.exists(name):
        raise NotExecutable(f"{name} cannot be run", errno=errno.EACCES)
    raise ExecutableMissing(f"{name} was not found", errno=errno.ENOENT)


@cache
def _dying_with_us() -> tuple[str, ...]:
    """
    What is put in front so that the kernel kills the command when we die.

    It asks for the signal, then looks whether we died before that. With util-linux' setpriv this
    costs 2 ms; where that is missing or too old, Python does the same in 15 ms. (A `preexec_fn`
    would run Python in a fork of a process with threads, which can deadlock.)
    """
    us = str(os.getpid())
    setpriv = shutil.which("setpriv")
    if setpriv:
        prefix = (setpriv, "--pdeathsig", "KILL", "--")
        tried = subprocess.run([*prefix, setpriv, "--version"], capture_output=True, check=False)  # noqa: S603
        if tried.returncode == 0:
            return (*prefix, "/bin/sh", "-c", _IF_WE_LIVE, us)
    root = str(Path(internal.__file__).parents[1])
    return (sys.executable, "-I", "-S", "-c", _DYING_WITH_US, root, us)
