"""
A real webhook receiver on loopback: it records every request and answers as it was told.

It speaks HTTP by hand, because what it must do to a client (trickle, cut, flood, never answer) no
server library offers. Requests are recorded when they were read completely, before any answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

_WAIT_SECONDS = 30
_CHUNK = b"x" * 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request; names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one request gets."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    delay_seconds: float = 0
    """Silence before the first byte."""
    trickle_seconds: float = 0
    """Pause behind every byte: a slow-loris."""
    endless: bool = False
    """A body that never ends, as fast as it is read."""
    reset: bool = False
    """No answer: the connection is reset."""


class Receiver:
    """Answers with the scripted replies in their order, then with the last one for ever (200)."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.port = 0
        self._scheme = "http"
        self._replies = [Reply()]
        self._changed = asyncio.Condition()
        self._open: set[asyncio.Task[None]] = set()

    def answer(self, *replies: Reply) -> None:
        """Script the next replies; the last one is repeated."""
        self._replies = list(replies)

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        """Where it listens."""
        return f"{self._scheme}://{host}:{self.port}{path}"

    async def wait_for(self, count: int) -> list[Received]:
        """The requests, once there are at least *count*; fails after 30 s."""
        async with asyncio.timeout(_WAIT_SECONDS), self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    @contextlib.asynccontextmanager
    async def listening(
        self, tls: ssl.SSLContext | None = None, *, address: str = "127.0.0.1"
    ) -> AsyncGenerator[Receiver, None]:
        """Listen on a free port of *address* as long as the context lasts."""
        self._scheme = "http" if tls is None else "https"
        server = await asyncio.start_server(self._accept, address, self.port, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        self.connections += 1
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went, or the test is over
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read and answer one request; whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.strip().split("\r\n")
        method, path, _ = request_line.split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        async with self._changed:
            self.requests.append(Received(method=method, path=path, headers=headers, body=body))
            self._changed.notify_all()
        return await _send(writer, reply)


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> bool:
    await asyncio.sleep(reply.delay_seconds)
    if reply.reset:
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False
    headers = dict(reply.headers)
    if not reply.endless:
        headers["Content-Length"] = str(len(reply.body))
    lines = [f"HTTP/1.1 {reply.status} Scripted"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    answer = "\r\n".join([*lines, "", ""]).encode("latin-1") + reply.body
    if reply.trickle_seconds:
        for position in range(len(answer)):
            writer.write(answer[position : position + 1])
            await writer.drain()
            await asyncio.sleep(reply.trickle_seconds)
    else:
        writer.write(answer)
        await writer.drain()
    while reply.endless:
        writer.write(_CHUNK)
        await writer.drain()
    return True
