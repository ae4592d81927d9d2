"""An outbox in a real Redis, and a real receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from internal.rdb.client import connect
from internal.rdb.keys import Keys
from internal.webhook.outbox import Outbox
from tests.support.mailroom import Mailroom
from tests.support.receiver import Receiver
from tests.support.redis import RedisServer


@pytest.fixture
async def mailroom(redis_client: Redis, redis_server: RedisServer) -> AsyncIterator[Mailroom]:
    """An empty outbox. What still waits at the end was left there on purpose."""
    keys = Keys("codeforge:")
    async with connect(redis_server.url, role="blocking", max_connections=4) as blocking:
        room = Mailroom(redis=redis_client, keys=keys, outbox=Outbox(redis_client, blocking, keys))
        yield room
        await room.clear()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that answers 200."""
    async with Receiver().listening() as listening:
        yield listening
