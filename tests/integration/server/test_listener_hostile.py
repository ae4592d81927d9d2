"""The input list against whatever a program can push: no payload ends the loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from internal.errors import Unavailable
from internal.rdb.client import connect
from internal.server.listener import InputListener
from tests.support.listening import make_listener
from tests.support.redis import RedisServer
from tests.support.service import KEYS, Service, body
from tests.support.waiting import until

pytestmark = pytest.mark.live_keys

GOOD = json.dumps(body(correlation_id="good")).encode()

HOSTILE = [
    b'\x01forged 99999999999999\n{"correlation_id":"h"}',
    b'{"correlation_id":"\\ud800","repo_url":"x"}',
    b'{"correlation_id":"a\\udfffb","repo_url":"hunter22"}',
    b'{"correlation_id":"\\ud800"}',
    b'{"correlation_id":"\\u0000"}',
    b'{"correlation_id":"h","\\ud800":"hunter22"}',
    b'{"correlation_id":"h","labels":{"\\udc00":"x"}}',
    b'{"correlation_id":"h","prompt":"\\ud83d"}',
    b'{"correlation_id":"h","correlation_id":"\\ud800"}',
    '{"correlation_id":"\\ud800"}'.encode("utf-16"),
    '{"correlation_id":"\\ud800"}'.encode("utf-32-be"),
    b'{"correlation_id":"\xed\xa0\x80"}',
    b'\xef\xbb\xbf{"correlation_id":"h"}',
    b'{"correlation_id":' + b"9" * 5_000 + b"}",
    b'{"correlation_id":"h","wait":NaN,"config":' + b'{"a":' * 3_000,
    b'{"correlation_id":"h","config":' + b"[" * 2_000 + b"]" * 2_000 + b"}",
    b'{"correlation_id":"h","labels":{' + b",".join(b'"%d":0' % n for n in range(900)) + b"}}",
    b"\x01\xff\xfe 1\n" + b'{"correlation_id":"h"}',
    b"\x01x 1\n",
    b"\x01x 9e9\n{}",
    b"\x01" + b"9" * 300 + b" 0\n\x01y 0\n{}",
    b"\x00",
    b"null",
    b'"\\ud800"',
]


@pytest.fixture
async def listener(redis_server: RedisServer, service: Service) -> AsyncGenerator[InputListener]:
    async with connect(redis_server.url, role="blocking") as blocking:
        yield make_listener(service, blocking)


@pytest.mark.parametrize("sent", HOSTILE)
async def test_a_hostile_payload_is_settled_without_its_content_in_the_log(
    listener: InputListener, redis_client: Redis, sent: bytes
) -> None:
    """
    It leaves the list at once: what always fails would otherwise come back for ever.
    """
    await redis_client.rpush(KEYS.input_pending(), sent)

    with capture_logs() as logs:
        assert await listener.serve_one()

    assert not await redis_client.exists(KEYS.input_pending())
    assert "hunter22" not in str(logs)


async def test_the_loop_outlives_every_hostile_payload(
    listener: InputListener, redis_client: Redis
) -> None:
    """
    The known ones and a few hundred mutations of them, and a good one behind all of them.
    """
    random = Random(11)  # noqa: S311 -- a test repeats itself
    sent = [*HOSTILE, *(mutated(random) for _ in range(200)), GOOD]
    await redis_client.rpush(KEYS.input_tasks(), *sent)
    stop = asyncio.Event()

    async def is_answered_or_over() -> bool:
        return loop.done() or bool(await redis_client.exists(KEYS.input_result("good")))

    loop = asyncio.create_task(listener.run(stop))
    await until("the good payload is answered", is_answered_or_over)
    stop.set()
    await loop

    answered: dict[str, Any] = json.loads(str(await redis_client.get(KEYS.input_result("good"))))
    assert answered["status"] == "pending"
    assert await redis_client.exists(KEYS.input_tasks(), KEYS.input_pending()) == 0


async def test_a_fault_of_ours_costs_one_payload_and_no_loop(
    listener: InputListener, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What nobody thought of, in any step, is logged by its kind and the payload is settled.
    """

    def fail(*_args: object, **_kwargs: object) -> None:
        raise LookupError("hunter22")

    monkeypatch.setattr("internal.server.listener.problem_body", fail)
    await redis_client.rpush(KEYS.input_pending(), b'{"correlation_id":"c"}')

    with capture_logs() as logs:
        assert await listener.serve_one()

    assert [(entry["event"], entry["error"]) for entry in logs] == [
        ("input.dropped", "LookupError")
    ]
    assert "hunter22" not in str(logs)
    assert await redis_client.exists(KEYS.input_pending(), KEYS.input_result("c")) == 0


async def test_an_absent_redis_costs_no_payload(
    service: Service, listener: InputListener, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    That is no fault of the payload: it stays until its lease ends.
    """

    async def fail(*_args: object, **_kwargs: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(service.deps.tasks, "submit", fail)
    await redis_client.rpush(KEYS.input_pending(), GOOD)

    with pytest.raises(Unavailable):
        await listener.serve_one()

    assert await redis_client.llen(KEYS.input_pending()) == 1


async def test_a_list_that_is_no_list_is_waited_for(
    listener: InputListener, redis_client: Redis
) -> None:
    """
    A key of another type stops no server: the loop goes on once somebody has put it right.
    """
    await redis_client.set(KEYS.input_pending(), "no list")
    stop = asyncio.Event()

    with capture_logs() as logs:
        loop = asyncio.create_task(listener.run(stop))
        await until("it was met", lambda: logs or loop.done())
        await redis_client.delete(KEYS.input_pending())
        await redis_client.rpush(KEYS.input_tasks(), GOOD)
        await until(
            "the good payload is answered",
            lambda: redis_client.exists(KEYS.input_result("good")),
        )
        stop.set()
        await loop

    assert logs[0]["event"] == "input.failed"


def mutated(random: Random) -> bytes:
    """One hostile payload with a few bytes changed, doubled or lost; never a lease of later."""
    payload = bytearray(random.choice(HOSTILE[:16]))
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(payload))
        payload[place : place + random.randint(0, 2)] = random.randbytes(random.randint(0, 2))
    return bytes(payload.lstrip(b"\x01"))
