"""The place where connections are opened: only to addresses that the guard vetted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import httpcore2

from internal.egress.guard import Guard

_MAX_ADDRESSES = 3


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """
    httpcore's seam for connections, with the guard in it.

    The pool above asks it to connect to a *name*, and keeps that name for the Host header and for
    TLS, so certificates are verified as usual although a vetted address is dialled.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        # The cast: httpcore declares a second, empty class for machines without anyio.
        self._plain = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """
        Connect to the first vetted address that answers, sharing *timeout* among them.

        Raises:
            PolicyDenied, Unavailable: from the guard.
            httpcore2.ConnectError, httpcore2.ConnectTimeout: no address took the connection.
        """
        addresses = (await self._guard.addresses(host, port))[:_MAX_ADDRESSES]
        share = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._plain.connect_tcp(
                    address, port, share, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._plain.connect_tcp(
            addresses[-1], port, share, local_address, socket_options
        )

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Refused: a local socket is never what a client may choose."""
        raise httpcore2.ConnectError("unix sockets are refused")

    async def sleep(self, seconds: float) -> None:
        """Never called: the pool is told not to repeat connections."""
        await self._plain.sleep(seconds)
