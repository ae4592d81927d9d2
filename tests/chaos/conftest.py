"""A site for each test: a Redis of its own that writes to disk before it answers, no worker."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from internal.rdb.embedded import EmbeddedRedis
from tests.support.chaos_site import Site, open_site


@pytest.fixture
def redis_directory() -> Iterator[Path]:
    """Where Redis keeps its data; a socket's path has room for about 100 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="cf-chaos-redis-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def redis(redis_directory: Path) -> AsyncIterator[EmbeddedRedis]:
    """The server of this test; a test that kills it starts it again."""
    async with EmbeddedRedis(redis_directory) as server:
        yield server


@pytest.fixture
async def site(redis: EmbeddedRedis) -> AsyncIterator[Site]:
    """A deployment on that server."""
    async with open_site(redis.url) as site:
        yield site
