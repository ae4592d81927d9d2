"""
Our connection pool: a full one lets callers wait, and its connections are put right in two places.

redis-py packs commands in C only where it is synchronous. And it takes a send for broken by
OSError, while uvloop says RuntimeError of a connection that was reset the moment before: such a
send is neither repeated nor known as an outage, unless it is said in redis-py's words.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import cast

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.connection import HiredisRespSerializer

_pack = cast("Callable[..., list[bytes]]", HiredisRespSerializer().pack)

Send = Callable[[Iterable[bytes]], Awaitable[None]]


class Pool(BlockingConnectionPool):
    """Makes connections that pack in C and know a closed transport for an outage."""

    def make_connection(self) -> AbstractConnection:
        connection = cast("AbstractConnection", super().make_connection())  # type: ignore[no-untyped-call]
        send: Send = getattr(connection, "_send_packed_command")  # noqa: B009 -- its only seam
        # Type checkers differ on methods.
        setattr(connection, "pack_command", _pack)  # noqa: B010
        setattr(connection, "_send_packed_command", _said_as_reset(send))  # noqa: B010
        return connection


def _said_as_reset(send: Send) -> Send:
    async def send_or_reset(command: Iterable[bytes]) -> None:
        try:
            await send(command)
        except RuntimeError as error:
            raise ConnectionResetError(str(error)) from error

    return send_or_reset
