"""
The network between one process and Redis: a TCP proxy that fails as networks do.

    reset       all connections break, with RST
    blackhole   for a while nothing is carried either way, and nobody is told
    half-open   the connections that are open carry nothing any more; new ones work
    delay       for a while answers come late: some later than anybody waits
    refuse      for a while connections break and no new one is taken
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator

from tests.support.chaos_round.plan import Fault


class Network:
    """Carries between a port of loopback and a Unix socket; see `network_before`."""

    def __init__(self, target: str) -> None:
        self.port = 0
        self._target = target
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self._silent: set[asyncio.Task[None]] = set()
        self._mode: Fault | None = None
        self._late_seconds = 0.0
        self._healing: asyncio.TimerHandle | None = None

    def fail(self, fault: Fault, length: float) -> None:
        """Begin to fail; *length* from 0 to 1 is at most 12 s of it, or 5 s of delay."""
        match fault:
            case Fault.RESET:
                self._cut()
                return
            case Fault.HALF_OPEN:
                self._silent.update(self._open.values())
                return
            case Fault.REFUSE:
                self._cut()
            case _:
                pass
        self._mode = fault
        self._late_seconds = 0.2 + 4.8 * length if fault is Fault.DELAY else 0
        if self._healing is not None:
            self._healing.cancel()
        loop = asyncio.get_running_loop()
        self._healing = loop.call_later(1 + 11 * length, self.heal)

    def heal(self) -> None:
        """Carry everything again; what was half open stays so until its end."""
        if self._mode is Fault.BLACKHOLE:
            self._cut()  # what was in flight is lost, so the connection is
        self._mode = None

    def _cut(self) -> None:
        for writer, task in list(self._open.items()):
            raw: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError, ValueError):  # it is closed already
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            task.cancel()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for asyncio's server."""
        task = asyncio.current_task()
        assert task is not None
        if self._mode is Fault.REFUSE:
            writer.transport.abort()
            return
        self._open[writer] = task
        try:
            up, down = await asyncio.open_unix_connection(self._target)
            try:
                await self._carry(task, reader, writer, up, down)
            finally:
                down.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # one side went, or was cut
        finally:
            self._open.pop(writer, None)
            self._silent.discard(task)
            writer.transport.abort()

    async def _carry(
        self,
        task: asyncio.Task[None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up: asyncio.StreamReader,
        down: asyncio.StreamWriter,
    ) -> None:
        ways = {
            asyncio.create_task(self._forward(task, reader, down, is_answer=False)),
            asyncio.create_task(self._forward(task, up, writer, is_answer=True)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _forward(
        self,
        task: asyncio.Task[None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_answer: bool,
    ) -> None:
        while chunk := await reader.read(65_536):
            if task in self._silent or self._mode is Fault.BLACKHOLE:
                continue
            if is_answer and self._mode is Fault.DELAY:
                await asyncio.sleep(self._late_seconds)
            writer.write(chunk)
            await writer.drain()

    async def close(self) -> None:
        if self._healing is not None:
            self._healing.cancel()
        tasks = list(self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def network_before(target: str) -> AsyncGenerator[Network]:
    """A network before the Redis at the Unix socket *target*."""
    network = Network(target)
    server = await asyncio.start_server(network.accept, "127.0.0.1", 0)
    network.port = server.sockets[0].getsockname()[1]
    try:
        yield network
    finally:
        server.close()
        await network.close()
