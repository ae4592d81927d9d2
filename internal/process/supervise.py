"""
An agent as the worker sees it: started, read, told, frozen, ended, and never left behind.

Between the worker and the agent stands the shim, which owns the tree (see `shim`); here are the
pipes, the limits of every wait, and the case that the shim itself is killed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from internal.process.childexit import uncancelled
from internal.process.errors import (
    ExecutableMissing,
    NotExecutable,
    StartFailed,
    WorkingDirectoryMissing,
)
from internal.process.leftovers import RUN_VARIABLE, end_marked
from internal.process.lines import Line, LineSplitter
from internal.process.pipes import BlockQueue, PipeReader, PipeWriter, Stdio, Tail, open_stdio
from internal.process.shimlink import ShimLink, open_link
from internal.process.spawn import Order
from internal.process.spec import Cause, Exit, ProcessSpec

_STDERR_BYTES = 65_536
_START_SECONDS = 30.0  # takes 20 ms; a machine without memory may need long
_KILL_SECONDS = 30.0  # takes milliseconds; a fork bomb with all processors to itself took 10 s
_MARGIN_SECONDS = 1.0


async def start(spec: ProcessSpec) -> AgentProcess:
    """
    Start an agent; leave its context to be sure that nothing of it is left.

        async with await start(spec) as agent:
            async for line in agent.stdout_lines(): ...
            exit = await agent.wait()

    Call it on the main thread (see `open_link`). No lease is kept before the first `hold_lease`.

    Raises:
        ExecutableMissing, NotExecutable, WorkingDirectoryMissing: what is wrong with the spec.
        StartFailed: the system refused; `errno` says why.
    """
    try:
        agent = _launch(spec)
    except OSError as error:
        raise StartFailed("The agent's process cannot be made", errno=error.errno) from error
    try:
        await agent.started(timeout_seconds=_START_SECONDS)
    except BaseException:
        await agent.close()
        raise
    return agent


class AgentProcess:
    """A running agent; every method but `hold_lease` belongs to the event loop's thread."""

    def __init__(self, spec: ProcessSpec, link: ShimLink, stdio: Stdio) -> None:
        self._spec = spec
        self._link = link
        self._reason: str | None = None
        self.output_bytes = 0
        """Read from stdout so far."""
        self.last_output_at = time.monotonic()
        """When the agent last wrote anything, to stdout or stderr; CLOCK_MONOTONIC."""
        self._stderr_tail = Tail(_STDERR_BYTES)
        self._stdin = PipeWriter(stdio.stdin)
        self._stdout = BlockQueue(stdio.stdout, on_block=self._count, on_end=self._end_early)
        self._stderr = PipeReader(stdio.stderr, on_block=self._keep_stderr, on_end=self._end_early)
        self._link.on_exit = self._end_early
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def pid(self) -> int:
        """The agent's process id."""
        return self._link.pid or 0

    @property
    def is_frozen(self) -> bool:
        """Whether the tree stands still, by its lease or by `freeze`."""
        return self._link.is_frozen

    @property
    def survivors(self) -> int:
        """Processes that had to be killed after the agent had ended by itself, once that is so."""
        return self._link.survivors

    @property
    def stderr_tail(self) -> str:
        """The last 64 KiB of stderr; what is no UTF-8 is replaced."""
        return self._stderr_tail.content().decode(errors="replace")

    async def stdout_lines(self) -> AsyncIterator[Line]:
        """
        The lines of stdout until its end; to be called once.

        A consumer that lags makes the agent wait. Lines past `max_line_bytes` come cut. The end is
        when nothing of the tree holds stdout any more, at most `drain_seconds` after the agent's.
        """
        splitter = LineSplitter(self._spec.max_line_bytes)
        while block := await self._stdout.get():
            for line in splitter.feed(block):
                yield line
        if last := splitter.flush():
            yield last

    def write_stdin(self, content: bytes) -> None:
        """Send *content*; never waits, and is no error when the agent does not read."""
        self._stdin.write(content)

    def close_stdin(self) -> None:
        """End of input, after all that was written."""
        self._stdin.close()

    def hold_lease(self, until: float) -> None:
        """
        Let the tree run until 3 s before *until* (CLOCK_MONOTONIC seconds); the latest one counts.

        From any thread, never blocking. After that it freezes by itself, also while this process is
        stopped; a later call thaws it, and without one it is killed after `outage_grace_seconds`.
        """
        self._link.tell(f"lease {until!r}")

    def freeze(self) -> None:
        """Stop the whole tree until `thaw`."""
        self._link.tell("freeze")

    def thaw(self) -> None:
        """Undo `freeze`; a tree without a lease stays frozen."""
        self._link.tell("thaw")

    def frozen_seconds(self) -> float:
        """How long the tree was frozen in all; to be taken off from what counts for a limit."""
        return self._link.frozen_seconds()

    async def wait(self) -> Exit:
        """
        Wait until nothing of the tree is left; how the agent itself ended.

        That is at most `drain_seconds` after the agent's end. Output must be read meanwhile, or the
        agent may wait for its reader for ever.
        """
        return await asyncio.shield(self._watching)

    async def end(
        self, reason: str, *, interrupt_seconds: float = 5.0, terminate_seconds: float = 5.0
    ) -> Exit:
        """
        End the tree: SIGINT, then SIGTERM to the agent's process group, then SIGKILL to everything.

        A frozen tree gets the signal, then continues. Returns when nothing is left. Cancelling this
        does not stop the ending.
        """
        self._reason = self._reason or reason
        self._link.tell(f"end {interrupt_seconds} {terminate_seconds}")
        self._link.wake()
        patience = interrupt_seconds + terminate_seconds + _MARGIN_SECONDS
        await asyncio.wait({self._watching}, timeout=patience)
        return await self.kill()

    async def kill(self) -> Exit:
        """Kill the whole tree now; returns when nothing is left, also when cancelled meanwhile."""
        return await uncancelled(self._kill())

    async def close(self) -> None:
        """Leave the context: `kill`, when anything is left."""
        await self.kill()

    async def started(self, *, timeout_seconds: float) -> None:
        """
        Wait until the agent runs, then give it its input; part of `start`.

        Raises:
            StartFailed: as in `start`.
        """
        await asyncio.wait({self._link.answered}, timeout=timeout_seconds)
        if self._link.failed:
            raise _start_error(self._spec, *self._link.failed)
        if self._link.pid is None:
            raise StartFailed(f"The agent's shim did not start: {self.stderr_tail[-500:]}")
        self.write_stdin(self._spec.stdin)
        if self._spec.close_stdin:
            self.close_stdin()

    async def _kill(self) -> Exit:
        if not self._watching.done():
            self._link.tell("kill")
            self._link.wake()  # the agent may have stopped its shim
            await asyncio.wait({self._watching}, timeout=_KILL_SECONDS)
        if not self._watching.done():
            self._link.kill()
        return await self._watching

    async def _watch(self) -> Exit:
        """From the start to the end of the shim; afterwards nothing of the tree is left."""
        await asyncio.wait({self._link.ended})
        self._link.collect()
        is_lost = not self._link.is_gone and self._link.failed is None
        if is_lost:
            await asyncio.to_thread(end_marked, self._spec.run_marker)
        self._stdin.abort()
        self._stdout.finish()
        self._stderr.finish()
        status, cause = self._link.exited or (-signal.SIGKILL, Cause.SHIM_LOST)
        return Exit(
            code=status if status >= 0 else None,
            signal=-status if status < 0 else None,
            cause=Cause.SHIM_LOST if is_lost else Cause(cause),
            reason=self._reason,
        )

    def _end_early(self) -> None:
        """The agent has ended and nobody can write any more: no need to drain."""
        if self._link.exited and self._stdout.ended and self._stderr.ended:
            self._link.tell("kill")

    def _count(self, block: bytes) -> None:
        self.output_bytes += len(block)
        self.last_output_at = time.monotonic()

    def _keep_stderr(self, block: bytes) -> None:
        self._stderr_tail.add(block)
        self.last_output_at = time.monotonic()


def _launch(spec: ProcessSpec) -> AgentProcess:
    with open_stdio() as (ours, theirs):
        link = open_link(_order(spec), marker=spec.run_marker, stdio=theirs)
        return AgentProcess(spec, link, ours)


def _order(spec: ProcessSpec) -> Order:
    environment = {**spec.environment, RUN_VARIABLE: spec.run_marker}
    front = spec.launcher(spec.argv, environment, spec.cwd)
    return Order(
        argv=[os.fsencode(argument) for argument in spec.argv],
        environment={os.fsencode(k): os.fsencode(v) for k, v in environment.items()},
        cwd=os.fsencode(os.path.realpath(spec.cwd)),
        rlimits=spec.limits.rlimits(),
        no_new_privileges=spec.limits.no_new_privileges,
        drain_seconds=spec.drain_seconds,
        outage_grace_seconds=spec.outage_grace_seconds,
        worker=os.getpid(),
        front=[os.fsencode(argument) for argument in front.argv] if front else [],
        files=list(front.files) if front else [],
    )


def _start_error(spec: ProcessSpec, step: str, number: int, said: str) -> StartFailed:
    why = os.strerror(number)
    if step == "sandbox":
        return StartFailed(f"The agent's sandbox cannot be made: {said or why}", errno=number)
    if step == "cwd":
        return WorkingDirectoryMissing(f"Cannot enter {spec.cwd}: {why}", errno=number)
    if step == "exec" and number in {errno.ENOENT, errno.ENOTDIR}:
        return ExecutableMissing(f"{spec.argv[0]} was not found", errno=number)
    if step == "exec" and number in {errno.EACCES, errno.ENOEXEC}:
        return NotExecutable(f"{spec.argv[0]} cannot be run: {why}", errno=number)
    return StartFailed(f"{spec.argv[0]} cannot be started ({step}): {why}", errno=number)
