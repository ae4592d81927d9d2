"""Questions of a server to the workers of a home."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from internal.errors import Unavailable
from internal.rdb.keys import Keys
from internal.task.ops import ANY_HOME, OpKind, Ops


@pytest.fixture
def ops(redis_client: Redis) -> Ops:
    return Ops(redis_client, redis_client, Keys("lab:"))


@pytest.mark.parametrize("home", ["h1", ANY_HOME])
async def test_a_worker_of_the_home_answers(ops: Ops, home: str) -> None:
    """The answer reaches whoever asked; every key of it has a TTL."""

    async def serve() -> None:
        op = await ops.take("h1")
        assert op is not None
        await ops.answer(op, {"kind": op.kind, "asked": dict(op.args)})

    async with asyncio.TaskGroup() as group:
        group.create_task(serve())
        answer = await ops.ask(home, OpKind.READ_DIFF, {"task": "ü"})

    assert answer == {"kind": "read_diff", "asked": {"task": "ü"}}


async def test_an_error_of_the_worker_is_the_askers(ops: Ops) -> None:
    """What the worker could not do is said with its words."""

    async def serve() -> None:
        op = await ops.take("h1")
        assert op is not None
        await ops.answer(op, {"error": "the work is gone"})

    with pytest.raises(Unavailable, match="the work is gone"):
        await asyncio.gather(ops.ask("h1", OpKind.READ_DIFF, {}), serve())


async def test_another_home_does_not_take_it(ops: Ops) -> None:
    """Only a worker of the home has the disk that the question is about."""
    asked = asyncio.create_task(ops.ask("h1", OpKind.READ_DIFF, {}))

    assert await ops.take("h2") is None

    op = await ops.take("h1")
    assert op is not None
    await ops.answer(op, {})
    assert await asked == {}
