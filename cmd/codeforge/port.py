"""Whether the server's address can be had, asked before anything is started for it."""

from __future__ import annotations

import asyncio
import errno
import socket
import time

from internal.errors import Conflict

_STEP_SECONDS = 0.1


async def until_free(host: str, port: int, *, seconds: float) -> None:
    """
    Return when *host* and *port* can be listened on; a server that ends has *seconds* for it.

    Raises:
        Conflict: somebody else has it, or it is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            socket.create_server((host, port), family=family).close()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > give_up_at:
                why, _, _ = (error.strerror or "").partition(" (")  # the address again
                said = f"{host}:{port} cannot be listened on: {why}."
                raise Conflict(f"{said} See server.host and server.port.") from error
        else:
            return
        await asyncio.sleep(_STEP_SECONDS)
