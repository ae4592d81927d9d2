"""The rate limit over HTTP: what is counted, and what a client is told."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import httpx2
import pytest
from redis.asyncio import Redis

from internal.access.resolver import CONFIGURED
from tests.support.gatehouse import make_older
from tests.support.redis import RedisServer
from tests.support.service import KEYS, Service, body, completed, open_service

pytestmark = pytest.mark.live_keys

LIMIT = 10
TASKS = KEYS.rate("default", CONFIGURED.name, "tasks")


@pytest.fixture
async def limited(redis_server: RedisServer, redis_client: Redis) -> AsyncGenerator[Service]:
    async with open_service(redis_server.url, calls_per_minute=LIMIT) as opened:
        yield opened


@pytest.fixture
async def client(limited: Service) -> AsyncGenerator[httpx2.AsyncClient]:
    async with limited.client() as opened:
        yield opened


async def test_fault_a26_refusals_do_not_extend_the_lockout(
    client: httpx2.AsyncClient, redis_client: Redis
) -> None:
    """
    `Retry-After` is exact: who asked all the time is let in when it said.
    """
    for _ in range(LIMIT):
        assert (await client.post("/api/v1/tasks", json=body())).status_code == 201
    await make_older(redis_client, TASKS, 40.5)

    refused = [await client.post("/api/v1/tasks", json=body()) for _ in range(30)]
    told = int(refused[-1].headers["retry-after"])
    await make_older(redis_client, TASKS, told)
    passed = await client.post("/api/v1/tasks", json=body())

    assert {answer.status_code for answer in refused} == {429}
    assert {answer.json()["error"] for answer in refused} == {"rate_limit_exceeded"}
    assert 15 <= told <= 20
    assert passed.status_code == 201


async def test_fault_a26_calls_of_one_moment_are_all_counted(client: httpx2.AsyncClient) -> None:
    """
    Of twenty at once exactly ten pass.
    """
    answers = await asyncio.gather(*(client.post("/api/v1/tasks", json=body()) for _ in range(20)))

    codes = [answer.status_code for answer in answers]
    assert sorted(codes) == [201] * LIMIT + [429] * (20 - LIMIT)


async def test_fault_a26_without_redis_nothing_passes() -> None:
    """
    503 and not a free ride.
    """
    async with (
        open_service("unix:///nowhere/redis.sock", calls_per_minute=LIMIT) as service,
        service.client() as client,
    ):
        answer = await client.post("/api/v1/tasks", json=body())

    assert answer.status_code == 503


async def test_fault_a26_tokens_have_buckets_of_their_own(
    limited: Service, client: httpx2.AsyncClient
) -> None:
    """
    One busy token does not lock out the others.
    """
    made = await limited.deps.tokens.make(CONFIGURED, "other", frozenset({"tasks"}))
    for _ in range(LIMIT + 1):
        await client.post("/api/v1/tasks", json=body())

    async with limited.client(made.text) as other:
        answer = await other.post("/api/v1/tasks", json=body())

    assert answer.status_code == 201


async def test_fault_b22_what_costs_as_much_as_a_task_is_limited_too(
    limited: Service, client: httpx2.AsyncClient
) -> None:
    """
    Each has a window of its own; a call in the wrong state counts, because it was asked.
    """
    task = (await client.post("/api/v1/tasks", json=body())).json()["id"]
    await limited.finish(await limited.claim(), completed())

    verbs: tuple[tuple[str, dict[str, str], int], ...] = (
        ("instruct", {"prompt": "Go on"}, 200),
        ("retry", {}, 409),
        ("create-pr", {}, 409),
    )
    for verb, content, good in verbs:
        path = f"/api/v1/tasks/{task}/{verb}"
        first = await client.post(path, json=content)
        for _ in range(LIMIT - 1):
            await client.post(path, json=content)
        last = await client.post(path, json=content)

        assert (first.status_code, last.status_code) == (good, 429), verb
        assert first.headers["ratelimit-remaining"] == f"{LIMIT - 1}"
        assert first.headers["ratelimit-policy"] == f'"{verb}";q={LIMIT};w=60'


async def test_the_headers_say_where_a_client_stands(
    client: httpx2.AsyncClient, redis_client: Redis
) -> None:
    """
    On every answer of a limited route, refusals and errors included, and on no other.
    """
    good = await client.post("/api/v1/tasks", json=body())
    await make_older(redis_client, TASKS, 20)
    bad = await client.post("/api/v1/tasks", json={"prompt": ""})
    for _ in range(LIMIT - 2):
        await client.post("/api/v1/tasks", content=b"not json")
    refused = await client.post("/api/v1/tasks", json=body())
    free = await client.get("/api/v1/tasks")

    assert [good.status_code, bad.status_code, refused.status_code] == [201, 400, 429]
    for answer, left in ((good, 9), (bad, 8), (refused, 0)):
        reset = int(answer.headers["ratelimit-reset"])
        assert answer.headers["ratelimit-limit"] == "10"
        assert answer.headers["ratelimit-remaining"] == f"{left}"
        assert answer.headers["ratelimit-policy"] == '"tasks";q=10;w=60'
        assert answer.headers["ratelimit"] == f'"tasks";r={left};t={reset}'
    assert good.headers["ratelimit-reset"] == "60"
    assert 30 < int(refused.headers["ratelimit-reset"]) <= 40
    assert refused.headers["retry-after"] == refused.headers["ratelimit-reset"]
    assert not [name for name in free.headers if name.startswith("ratelimit")]


async def test_a_repeat_by_its_idempotency_key_counts(client: httpx2.AsyncClient) -> None:
    """
    What is limited is the asking; a repeat after 429 still makes one task.
    """
    headers = {"Idempotency-Key": "one"}

    answers = [
        await client.post("/api/v1/tasks", json=body(), headers=headers) for _ in range(LIMIT + 1)
    ]

    assert [answer.status_code for answer in answers] == [201, *[200] * (LIMIT - 1), 429]


async def test_who_may_not_is_not_counted(limited: Service, redis_client: Redis) -> None:
    """
    Neither strangers nor callers without the scope fill Redis with windows.
    """
    made = await limited.deps.tokens.make(CONFIGURED, "reader", frozenset({"read"}))

    for token in (None, made.text):
        async with limited.client(token) as client:
            await client.post("/api/v1/tasks", json=body())

    assert await redis_client.keys("*:rate:*") == []
