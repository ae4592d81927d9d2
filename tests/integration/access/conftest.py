"""One server's door on an empty Redis."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from tests.support.gatehouse import Gatehouse


@pytest.fixture
def gatehouse(redis_client: Redis) -> Gatehouse:
    return Gatehouse(redis_client)
