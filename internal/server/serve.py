"""
Runs the application on a socket until it is told to stop.

uvicorn does the work; what is decided here: it stops by our event and not by signals of its own,
and what a connection may hold when its client does not read is bounded by its socket. What it may
cost before its request is known is bounded in `protocol`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from internal.server.protocol import Protocol

_SEND_BUFFER_BYTES = 128 * 1024
_UNREAD_SECONDS = 40
"""A little above what a stream waits for a client, which then only has to be forgotten."""
_KEEP_ALIVE_SECONDS = 60
_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """
    A listening TCP socket; port 0 takes a free one.

    Accepted connections inherit its small send buffer, and are reset by the kernel when their
    client acknowledges nothing for 40 s. Raises OSError when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_SECONDS * 1000)
    return listener


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    stop: asyncio.Event,
    *,
    grace_seconds: int,
    protocol: type[Protocol] = Protocol,
) -> None:
    """
    Serve *app* until *stop*, then give open requests *grace_seconds* to end; closes *listener*.

    The hub, which stops by the same event, ends the open streams with `bye`.
    """
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace_seconds,
    )
    server = _Server(config)

    async def exit_on_stop() -> None:
        await stop.wait()
        server.should_exit = True

    async with asyncio.TaskGroup() as group:
        watch = group.create_task(exit_on_stop())
        await server.serve(sockets=[listener])
        watch.cancel()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process that runs it has its own."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
