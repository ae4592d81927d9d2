"""A server process on an empty Redis, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx2
import pytest
from redis.asyncio import Redis

from tests.support.redis import RedisServer
from tests.support.service import Service, open_service


@pytest.fixture
async def service(redis_server: RedisServer, redis_client: Redis) -> AsyncGenerator[Service]:
    async with open_service(redis_server.url) as opened:
        yield opened


@pytest.fixture
async def client(service: Service) -> AsyncGenerator[httpx2.AsyncClient]:
    async with service.client() as opened:
        yield opened
