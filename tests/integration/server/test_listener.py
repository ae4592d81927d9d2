"""The input list: tasks of programs without HTTP, neither lost nor doubled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from internal.clock import SystemClock
from internal.rdb.client import connect
from internal.server.listener import InputListener
from internal.task.model import DEFAULT_TENANT
from tests.support.listening import make_listener
from tests.support.redis import RedisServer
from tests.support.service import KEYS, Service, body, open_service
from tests.support.waiting import until

pytestmark = pytest.mark.live_keys


@pytest.fixture
async def service(redis_server: RedisServer, redis_client: Redis) -> AsyncGenerator[Service]:
    async with open_service(redis_server.url) as opened:
        yield opened


@pytest.fixture
async def listener(redis_server: RedisServer, service: Service) -> AsyncGenerator[InputListener]:
    async with connect(redis_server.url, role="blocking") as blocking:
        yield make_listener(service, blocking)


def payload(**members: Any) -> bytes:
    return json.dumps(body(**members)).encode()


async def push(redis: Redis, text: bytes) -> None:
    await redis.rpush(KEYS.input_tasks(), text)


async def answer(redis: Redis, correlation: str) -> dict[str, Any]:
    async def found() -> bool:
        return bool(await redis.exists(KEYS.input_result(correlation)))

    await until("the answer is there", found)
    assert 0 < await redis.ttl(KEYS.input_result(correlation)) <= 300
    answered: dict[str, Any] = json.loads(str(await redis.get(KEYS.input_result(correlation))))
    return answered


async def task_count(service: Service) -> int:
    return sum((await service.deps.tasks.stats(DEFAULT_TENANT)).tasks.values())


async def test_a_pushed_task_is_accepted_and_answered(
    service: Service, listener: InputListener, redis_client: Redis
) -> None:
    """
    The answer has the task's id; nothing stays in the lists; the loop ends when told.
    """
    stop = asyncio.Event()
    loop = asyncio.create_task(listener.run(stop))

    await push(redis_client, payload(correlation_id="c1", labels={"from": "list"}))
    answered = await answer(redis_client, "c1")
    stop.set()
    await loop

    async with service.client() as client:
        task = (await client.get(f"/api/v1/tasks/{answered['task_id']}")).json()
    assert answered["status"] == "pending"
    assert task["labels"] == {"from": "list"}
    assert await redis_client.exists(KEYS.input_tasks(), KEYS.input_pending()) == 0


@pytest.mark.parametrize(
    ("sent", "error", "fields"),
    [
        (b'{"correlation_id":"c"}', "validation_error", {"repo_url", "prompt"}),
        (payload(correlation_id="c", wait=5), "validation_error", {"wait"}),
        (payload(correlation_id="c", provider_key="k"), "validation_error", {"provider_key"}),
        (
            payload(correlation_id="c", config={"cli": "codex"}),
            *("not_available", {"config.cli"}),
        ),
        (payload(correlation_id="c", prompt="x" * 20_000), "bad_request", set[str]()),
    ],
)
async def test_a_bad_payload_is_answered_as_over_http(
    listener: InputListener,
    redis_client: Redis,
    sent: bytes,
    error: str,
    fields: set[str],
) -> None:
    """
    The same checks as POST /tasks, the answer without a request id.
    """
    await redis_client.rpush(KEYS.input_pending(), sent)

    assert await listener.serve_one()

    answered = await answer(redis_client, "c")
    assert answered["error"] == error
    assert answered["message"]
    assert set(answered.get("fields", {})) == fields
    assert not await redis_client.exists(KEYS.input_pending())


@pytest.mark.parametrize(
    "sent",
    [
        b"no json",
        b"\xff\xfe",
        b"[1]",
        b'{"correlation_id":7}',
        b'{"correlation_id":""}',
        b'{"prompt":"hunter22"}',
        b"[" * 5_000,
        b"",
    ],
)
async def test_fault_a28_a_refusal_that_nobody_can_get_is_logged_without_its_content(
    listener: InputListener,
    redis_client: Redis,
    sent: bytes,
) -> None:
    """
    Whatever is pushed leaves the list; without a correlation id only the log tells of it.
    """
    await redis_client.rpush(KEYS.input_pending(), sent)

    with capture_logs() as logs:
        assert await listener.serve_one()

    assert [entry["event"] for entry in logs] == ["input.refused"]
    assert "hunter22" not in str(logs)
    assert not await redis_client.exists(KEYS.input_pending())


async def test_the_same_correlation_id_is_the_same_task(
    service: Service, listener: InputListener, redis_client: Redis
) -> None:
    """
    A program that pushes again because it saw no answer gets the task it has made.
    """
    for _ in range(2):
        await redis_client.rpush(KEYS.input_pending(), payload(correlation_id="c"))
    await redis_client.rpush(KEYS.input_pending(), payload(correlation_id="c", prompt="other"))

    await listener.serve_one()
    first = await answer(redis_client, "c")
    await listener.serve_one()
    second = await answer(redis_client, "c")
    await listener.serve_one()
    third = await answer(redis_client, "c")

    assert first == second
    assert third["error"] == "idempotency_conflict"
    assert await task_count(service) == 1


async def test_two_equal_payloads_without_an_id_are_two_tasks(
    service: Service, listener: InputListener, redis_client: Redis
) -> None:
    """
    Only a correlation id says that two pushes mean one task.
    """
    for _ in range(2):
        await redis_client.rpush(KEYS.input_pending(), payload())

    assert await listener.serve_one()
    assert await listener.serve_one()
    assert not await listener.serve_one()

    assert await task_count(service) == 2


async def test_killed_listeners_neither_lose_nor_double(
    service: Service, redis_server: RedisServer, redis_client: Redis
) -> None:
    """
    Listeners die at any moment, between any two commands; every payload becomes one task.

    Half of the payloads have no correlation id, so nothing but the entry itself tells them apart.
    """
    total = 60
    for number in range(total):
        identity = {"correlation_id": f"c{number}"} if number % 2 else {}
        await push(redis_client, payload(prompt="the same for all", **identity))

    async def work_is_left() -> bool:
        return await redis_client.exists(KEYS.input_tasks(), KEYS.input_pending()) > 0

    random = Random(7)  # noqa: S311 -- a test repeats itself
    kills = 0
    async with connect(redis_server.url, role="blocking", max_connections=64) as blocking:
        while await work_is_left():
            loops = [
                asyncio.create_task(
                    make_listener(service, blocking, lease_seconds=0.05).run(asyncio.Event())
                )
                for _ in range(3)
            ]
            await asyncio.sleep(random.uniform(0.002, 0.06))
            for loop in loops:
                loop.cancel()
                kills += 1
            await asyncio.gather(*loops, return_exceptions=True)

    assert kills >= 6
    assert await task_count(service) == total
    for number in range(1, total, 2):
        assert "task_id" in await answer(redis_client, f"c{number}")


async def test_an_entry_in_hand_is_given_to_nobody_else_before_its_lease_ends(
    service: Service, redis_server: RedisServer, redis_client: Redis
) -> None:
    """
    A listener that is slow is not a dead one.
    """
    lease_end = int(SystemClock().now().timestamp() * 1000) + 25_000  # of 30 s
    await redis_client.rpush(KEYS.input_pending(), b"\x01other %d\n%b" % (lease_end, payload()))

    async with connect(redis_server.url, role="blocking") as blocking:
        assert not await make_listener(service, blocking).serve_one()

    assert await task_count(service) == 0
    assert await redis_client.llen(KEYS.input_pending()) == 1
