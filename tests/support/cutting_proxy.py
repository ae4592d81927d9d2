"""A proxy before Redis that can fall silent or go away, as networks do."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path


class CuttingProxy:
    """Forwards between its own Unix socket and Redis'; see `proxy_before`."""

    def __init__(self, target: str, directory: Path) -> None:
        self._target = target
        self._path = directory / "proxy.sock"
        self._is_away = False
        self._silent: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"unix://{self._path}"

    def silence(self) -> None:
        """The connections that are open carry nothing more, and nobody is told (half-open)."""
        self._silent |= self._open

    def go_away(self) -> None:
        """All connections break; new ones are refused until `come_back`."""
        self._is_away = True
        for writer in self._open:
            writer.close()

    def come_back(self) -> None:
        self._is_away = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for asyncio's server."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._is_away:
            writer.close()
            return
        up, down = await asyncio.open_unix_connection(self._target)
        pair = {writer, down}
        self._open |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, down))
                group.create_task(self._forward(up, writer))
        except* (OSError, asyncio.CancelledError):
            pass  # one side went, or the test is over
        finally:
            self._open -= pair
            for side in pair:
                side.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            if writer not in self._silent:
                writer.write(chunk)
                await writer.drain()
        raise ConnectionResetError

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def proxy_before(url: str) -> AsyncGenerator[CuttingProxy]:
    """A proxy before the Redis at *url* (`unix://...`)."""
    with tempfile.TemporaryDirectory(prefix="cf-", dir="/tmp") as name:
        proxy = CuttingProxy(url.removeprefix("unix://"), Path(name))
        path = proxy.url.removeprefix("unix://")
        server = await asyncio.start_unix_server(proxy.accept, path)
        try:
            yield proxy
        finally:
            server.close()
            await proxy.close()
            await server.wait_closed()
