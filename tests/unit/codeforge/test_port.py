"""An address that is taken is told at once, not in a loop of restarts."""

from __future__ import annotations

import asyncio
import socket

import pytest

from codeforge.port import until_free
from internal.errors import Conflict


async def test_a_port_that_somebody_has_is_refused_by_the_setting() -> None:
    """
    The first thing that goes wrong on a new machine: another program has 8080.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(Conflict, match=rf"127\.0\.0\.1:{port} .* server\.port"):
            await until_free("127.0.0.1", port, seconds=0)


async def test_an_address_of_another_machine_is_refused_at_once() -> None:
    """
    Waiting would not help.
    """
    with pytest.raises(Conflict, match=r"server\.host"):
        await until_free("192.0.2.1", 18080, seconds=600)


async def test_a_server_that_ends_is_waited_for() -> None:
    """
    So a supervisor may restart `up` while the server of the one before still ends its streams.
    """
    taken = socket.create_server(("127.0.0.1", 0))
    waiting = asyncio.create_task(until_free(*taken.getsockname(), seconds=60))
    await asyncio.sleep(0)

    taken.close()
    await waiting
