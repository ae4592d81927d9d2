"""A site on the Redis of the test process, for workers that run in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.support.chaos_site import Site, open_site
from tests.support.redis import RedisServer


@pytest.fixture
async def site(redis_client: Redis, redis_server: RedisServer) -> AsyncIterator[Site]:
    """A deployment on an empty database; a key that would stay for ever fails the test."""
    async with open_site(redis_server.url) as site:
        yield site
