"""What is said inside a sandbox is taken for what it can be: an agent could be the speaker."""

from __future__ import annotations

import socket

import pytest

from internal.process.enclosed import Enclosed


@pytest.mark.parametrize(
    ("packet", "status"),
    [
        (b"exited 0", 0),
        (b"exited 255", 255),
        (b"exited -9", -9),
        (b"exited -99999", None),
        (b"exited 256", None),
        (b"exited", None),
        (b"exited soon", None),
        (b"\xff\xfe", None),
        (b"exited 1" + b"0" * 1000, None),
    ],
)
def test_only_a_status_is_the_end_of_an_agent(packet: bytes, status: int | None) -> None:
    """
    The shim must not stumble over anything else.
    """
    inside, shim = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with inside, shim:
        enclosed = Enclosed(1, 2, shim)
        before = enclosed.status()

        inside.send(packet)

        assert before is None
        assert enclosed.status() == status
