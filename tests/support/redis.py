"""
A real server per test process, an empty database per test, and no key left behind.

A test that ends on purpose while a task is queued or running says so with `@pytest.mark.live_keys`:
the keys of a live task have no TTL.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.client import Redis as SyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError

from internal.rdb.program import find_server, launch_command
from tests.support.keyleak import leaked_keys

_READY_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """Where the server of this test process listens."""

    url: str
    pid: int


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of this file."""
    config.addinivalue_line("markers", "live_keys: ends with live tasks, whose keys have no TTL")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A private server in memory on a Unix socket; it ends with the test process in any case."""
    # A socket's path has room for about 100 bytes, and TMPDIR may be long.
    with tempfile.TemporaryDirectory(prefix="cf-", dir="/tmp") as name:
        socket = Path(name, "redis.sock")
        process = _start(Path(name), socket)
        try:
            _await_ping(socket, process)
            yield RedisServer(url=f"unix://{socket}", pid=process.pid)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
async def redis_client(
    redis_server: RedisServer, request: pytest.FixtureRequest
) -> AsyncIterator[Redis]:
    """A client of an empty database; a key that would stay for ever fails the test."""
    async with Redis.from_url(redis_server.url, decode_responses=True, protocol=3) as client:
        await client.flushall()
        yield client
        live = request.node.get_closest_marker("live_keys") is not None
        leaked = [] if live else await leaked_keys(client)
        assert not leaked, f"keys without TTL are left: {leaked}"


def _start(directory: Path, socket: Path) -> subprocess.Popen[bytes]:
    settings = (
        f'port 0\nunixsocket "{socket}"\nunixsocketperm 700\ndir "{directory}"\n'
        'save ""\nappendonly no\nmaxmemory-policy noeviction\nstream-node-max-bytes 512\n'
    )
    with tempfile.TemporaryFile() as stdin, (directory / "log").open("wb") as log:
        stdin.write(settings.encode())
        stdin.seek(0)
        return subprocess.Popen(
            launch_command(find_server()),
            stdin=stdin,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={"PATH": os.defpath},
        )


def _await_ping(socket: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            with SyncRedis(unix_socket_path=str(socket)) as client:
                client.ping()
        except RedisConnectionError:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (socket.parent / "log").read_text(encoding="utf-8", errors="replace")
                pytest.fail(f"the test server does not answer:\n{log}")
            time.sleep(0.02)
        else:
            return
