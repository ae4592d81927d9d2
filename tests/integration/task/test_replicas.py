"""With `redis.replicas`, what was acknowledged is on another machine, or the caller was told."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from internal.errors import Unavailable
from internal.ids import random_token
from internal.rdb.client import connect, unavailable
from internal.rdb.keys import Keys
from internal.rdb.program import find_server, launch_command
from internal.task.model import Priority
from internal.task.queue import TaskQueue
from internal.task.state import State
from internal.task.store import TaskStore
from tests.support.deployment import free_port
from tests.support.queue_lab import LEASE_SECONDS, Lab, outcome_of
from tests.support.waiting import until

KEYS = Keys("lab:")


class Primary(Lab):
    """A lab on the real clock, whose writes want one replica."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, KEYS)
        self.store = TaskStore(redis, KEYS, replicas=1)
        self.queue = TaskQueue(redis, KEYS, lease_seconds=LEASE_SECONDS, replicas=1)


@pytest.fixture
async def primary(tmp_path: Path) -> AsyncGenerator[Primary]:
    async with _server(tmp_path / "primary") as redis:
        yield Primary(redis)


async def test_promise_7_a_submit_without_a_replica_is_told_and_can_be_repeated(
    primary: Primary, tmp_path: Path
) -> None:
    """It may be there or not; the repeat with its key is the same task, now on two machines."""
    with pytest.raises(Unavailable):
        await primary.create(key="once")

    async with _replica(primary, tmp_path / "replica") as replica:
        repeated = await primary.submit(
            "default", "t2", "r", Priority.NORMAL, callback=False, key="once", digest="h"
        )
        found = await TaskStore(replica, KEYS).find("default", "t1")

    assert (repeated.word, repeated.rest[0]) == ("dup", "t1")
    assert found is not None


async def test_promise_7_a_repeat_is_acknowledged_no_sooner_than_the_first(
    primary: Primary, tmp_path: Path
) -> None:
    """What a repeat finds done was written by another connection; the replica still lacks it."""
    async with _replica(primary, tmp_path / "replica") as replica:
        os.kill(await _pid(replica), signal.SIGSTOP)
        with pytest.raises(Unavailable):
            await primary.create(key="once")
        await primary.redis.connection_pool.disconnect()  # the repeat comes over another one

        with pytest.raises(Unavailable):
            await primary.submit(
                "default", "t2", "r", Priority.NORMAL, callback=False, key="once", digest="h"
            )


async def test_promise_7_what_was_acknowledged_survives_the_primary(
    primary: Primary, tmp_path: Path
) -> None:
    """The submitted task and the finished run are what the promoted replica has."""
    async with _replica(primary, tmp_path / "replica") as replica:
        finished, waiting = await primary.create(), await primary.create()
        claim = await primary.take()
        await primary.advance(claim)
        operation = random_token()
        await primary.queue.finish(claim, outcome_of(claim), operation)

        os.kill(await _pid(primary.redis), signal.SIGKILL)
        await replica.replicaof("NO", "ONE")
        promoted = TaskQueue(replica, KEYS, lease_seconds=LEASE_SECONDS)
        again = await promoted.finish(claim, outcome_of(claim), operation)
        states = [
            await replica.hget(KEYS.task(*ref.split("/")), "status") for ref in (finished, waiting)
        ]

    assert again is State.COMPLETED
    assert states == ["completed", "pending"]


async def test_promise_7_no_agent_starts_on_a_claim_that_a_failover_forgets(
    primary: Primary, tmp_path: Path
) -> None:
    """
    Neither the start of a run nor giving it back counts before a replica has it: on a promoted one
    the end of the run would find a task that has not begun, and one given back would cost a life.
    """
    async with _replica(primary, tmp_path / "replica") as replica:
        await primary.create()
        claim = await primary.take()
        os.kill(await _pid(replica), signal.SIGSTOP)
        with pytest.raises(Unavailable):
            await primary.advance(claim)
        with pytest.raises(Unavailable):
            await primary.queue.hand_back(claim, random_token(), reason="shutdown")


async def test_promise_7_a_master_that_refuses_alone_is_told_as_an_outage(primary: Primary) -> None:
    """`min-replicas-to-write` there: the refusal is known for what it is, and nothing is stored."""
    await primary.redis.config_set("min-replicas-to-write", "1")

    with pytest.raises(Unavailable, match="too few replicas"), unavailable():
        await primary.create(key="once")

    assert await primary.store.find("default", "t1") is None


@contextlib.asynccontextmanager
async def _replica(primary: Primary, directory: Path) -> AsyncGenerator[Redis]:
    port = primary.redis.connection_pool.connection_kwargs["port"]
    async with _server(directory, f"replicaof 127.0.0.1 {port}\n") as redis:

        async def follows() -> bool:
            told = await redis.info("replication")
            return str(told["master_link_status"]) == "up"

        await until("the replica follows", follows)
        yield redis


@contextlib.asynccontextmanager
async def _server(directory: Path, settings: str = "") -> AsyncGenerator[Redis]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *launch_command(find_server())[:-1],
        _settings(directory, port, settings),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with connect(f"redis://127.0.0.1:{port}", role="command") as redis:
            await until("the server answers", lambda: _answers(redis))
            yield redis
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _pid(redis: Redis) -> int:
    return int((await redis.info("server"))["process_id"])


def _settings(directory: Path, port: int, more: str) -> str:
    directory.mkdir()
    path = directory / "conf"
    text = f'port {port}\nbind 127.0.0.1\nsave ""\nrepl-diskless-sync-delay 0\ndir "{directory}"\n'
    path.write_text(text + more)
    return str(path)


async def _answers(redis: Redis) -> bool:
    try:
        return bool(await redis.ping())
    except RedisConnectionError:
        return False
