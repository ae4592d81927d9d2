"""What is asked again while Redis is away, and what is not."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import (
    BusyLoadingError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from internal.errors import Fenced, Unavailable
from internal.worker import patience
from internal.worker.patience import until_answered, until_written


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_REPEAT_SECONDS", 0)


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError("refused"),
        RedisTimeoutError("silent"),
        BusyLoadingError("LOADING"),
        ResponseError("MISCONF disk full"),
        Unavailable("not yet on a replica"),
        ConnectionResetError(),
    ],
)
async def test_an_outage_is_waited_out_with_one_operation_id(error: Exception) -> None:
    """So whatever was written before the answer was lost is written once."""
    operations: list[str] = []

    async def write(operation: str) -> str:
        operations.append(operation)
        if len(operations) < 3:
            raise error
        return "done"

    assert await until_written(write) == "done"
    assert len(operations) == 3
    assert len(set(operations)) == 1


@pytest.mark.parametrize(
    "error", [ResponseError("ERR a bug in a script"), Fenced("not yours"), RedisError("what?")]
)
async def test_a_refusal_passes(error: Exception) -> None:
    """It would be the same each time."""
    calls = 0

    async def ask() -> None:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(type(error)):
        await until_answered(ask)
    assert calls == 1


async def test_a_cancellation_that_was_swallowed_on_its_way_ends_the_wait() -> None:
    """Python 3.11 can lose one below; the loop looks for itself."""
    calls = 0

    async def swallow() -> None:
        nonlocal calls
        calls += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RedisConnectionError("cut") from None

    asking = asyncio.create_task(until_answered(swallow))
    await asyncio.sleep(0)

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert calls == 1
