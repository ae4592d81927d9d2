"""A registry and a resolver on an empty Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from internal.rdb.client import connect
from tests.support.key_desk import Desk
from tests.support.redis import RedisServer


@pytest.fixture
async def desk(redis_server: RedisServer, redis_client: Redis) -> AsyncIterator[Desk]:
    redis = connect(redis_server.url, role="command")
    yield Desk(redis)
    await redis.aclose()
