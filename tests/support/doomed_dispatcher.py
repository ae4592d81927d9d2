"""
A process with nothing but a webhook dispatcher, made to be killed.

`python -m tests.support.doomed_dispatcher <redis url> <prefix> <lease seconds> <secret>`
"""

from __future__ import annotations

import asyncio
import sys
from random import SystemRandom

from internal.clock import SystemClock
from internal.crypto.box import Box
from internal.egress.client import HttpClient
from internal.egress.guard import Guard
from internal.rdb.client import connect
from internal.rdb.keys import Keys
from internal.webhook.dispatcher import Dispatcher, Limits
from internal.webhook.outbox import Outbox
from internal.webhook.schedule import Schedule
from internal.webhook.secrets import SigningSecrets
from internal.webhook.sender import Sender

BOX = Box({"k": bytes(32)}, active="k")


async def main(url: str, prefix: str, lease_seconds: float, secret: str) -> None:
    """Dispatch until the process ends."""
    async with (
        connect(url, role="command") as commands,
        connect(url, role="blocking", max_connections=1) as blocking,
        HttpClient(Guard(["127.0.0.0/8"]), user_agent="CodeForge/test") as client,
    ):
        dispatcher = Dispatcher(
            Outbox(commands, blocking, Keys(prefix)),
            Sender(client, SigningSecrets(BOX, secret), SystemClock(), version="test"),
            Schedule(),
            random=SystemRandom(),
            clock=SystemClock(),
            limits=Limits(lease_seconds=lease_seconds),
        )
        await dispatcher.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]))
