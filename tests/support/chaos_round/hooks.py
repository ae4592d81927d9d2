"""A receiver of webhooks that is down at times, and remembers what it answered 200 to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from random import Random

_REFUSED = 0.1
_MOST_REFUSED = 2
"""How often a delivery meets that: waits grow fivefold, and no round can wait for bad luck."""


class Hooks:
    """`bodies` are the different bodies by webhook-id; `attempts` counts every request."""

    def __init__(self, seed: str) -> None:
        self.port = 0
        self.bodies: defaultdict[str, set[bytes]] = defaultdict(set)
        self.attempts = 0
        self._random = Random(f"{seed}/hooks")  # noqa: S311 - no secret
        self._refused = Counter[str]()
        self._is_down = False
        self._came = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def go_down(self, seconds: float) -> None:
        """Break every connection for so long."""
        self._is_down = True
        await asyncio.sleep(seconds)
        self._is_down = False

    async def until(self, wanted: set[str], *, seconds: float) -> None:
        """Return once all of these arrived, or after so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not wanted <= self.bodies.keys():
                    self._came.clear()
                    await self._came.wait()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for asyncio's server."""
        try:
            while not self._is_down:
                await self._serve_one(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went
        finally:
            writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (h.partition(": ") for h in head)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.attempts += 1
        if self._is_down:
            raise ConnectionResetError
        name = headers["webhook-id"]
        status = 503 if self._refuses(name) else 200
        if status == 200:
            json.loads(body)
            self.bodies[name].add(body)
            self._came.set()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    def _refuses(self, name: str) -> bool:
        refuses = self._random.random() < _REFUSED and self._refused[name] < _MOST_REFUSED
        self._refused[name] += refuses
        return refuses


@contextlib.asynccontextmanager
async def open_hooks(seed: str) -> AsyncGenerator[Hooks]:
    """A receiver on a free port until the end of the block."""
    hooks = Hooks(seed)
    server = await asyncio.start_server(hooks.accept, "127.0.0.1", 0)
    hooks.port = server.sockets[0].getsockname()[1]
    try:
        yield hooks
    finally:
        server.close()
