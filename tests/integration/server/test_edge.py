"""Rules for every route: tokens, ids of requests, methods, paths, bodies, time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support.redis import RedisServer
from tests.support.service import TOKEN, Service, body, open_service

pytestmark = pytest.mark.live_keys

TASK = "01" * 13


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong-token"},
        {"Authorization": "Bearer "},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"X-API-Key": "wrong"},
        {"Authorization": "Bearer wrong", "X-API-Key": TOKEN},
        {"Authorization": b"Bearer \xff\xfe"},
    ],
)
@pytest.mark.parametrize(
    "path", [f"/api/v1/tasks/{TASK}", "/api/v1/nothing", "/api/v1/", "/api/v1/tasks/"]
)
async def test_without_the_right_token_everything_is_401(
    service: Service, headers: dict[str, Any], path: str
) -> None:
    """
    Strangers do not even learn which paths exist.
    """
    async with service.client(token=None) as client:
        answer = await client.get(path, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["error"] == "unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": f"bearer {TOKEN}"},
        {"Authorization": f"BEARER  {TOKEN}"},
        {"X-API-Key": TOKEN},
        {"Authorization": "Basic abc", "X-API-Key": TOKEN},
    ],
)
async def test_the_token_comes_in_either_header(service: Service, headers: dict[str, str]) -> None:
    """
    The scheme's case does not matter; X-API-Key is an alias.
    """
    async with service.client(token=None) as client:
        answer = await client.get("/api/v1/tasks", headers=headers)

    assert answer.status_code == 200


async def test_what_machines_ask_needs_no_token(service: Service) -> None:
    """
    Probes, scrapers and readers of the documentation are let in.
    """
    async with service.client(token=None) as client:
        for path in ("/health", "/ready", "/metrics", "/api/docs", "/api/docs/openapi.yaml"):
            assert (await client.get(path)).status_code == 200, path


@pytest.mark.parametrize("given", ["a", "A-1._:/b", "x" * 128])
async def test_a_well_formed_request_id_is_kept(client: httpx2.AsyncClient, given: str) -> None:
    """
    So a caller finds its request in our logs, also when it failed.
    """
    answer = await client.get("/api/v1/nothing", headers={"X-Request-ID": given})

    assert answer.headers.get_list("x-request-id") == [given]
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "é", "a;b", None])
async def test_any_other_request_id_is_replaced(
    client: httpx2.AsyncClient, given: str | None
) -> None:
    """
    What could forge a log line never gets there.
    """
    headers = {} if given is None else {b"X-Request-ID": given.encode()}

    answer = await client.get("/ready", headers=headers)

    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/v1/tasks", "GET, HEAD, POST"),
        ("POST", f"/api/v1/tasks/{TASK}", "DELETE, GET, HEAD"),
        ("GET", f"/api/v1/tasks/{TASK}/cancel", "POST"),
        ("OPTIONS", "/api/v1/tasks", "GET, HEAD, POST"),
        ("DELETE", "/health", "GET, HEAD"),
        ("PUT", "/api/v1/keys", "GET, HEAD, POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    client: httpx2.AsyncClient, method: str, path: str, allowed: str
) -> None:
    """
    405 with Allow, in the one body.
    """
    answer = await client.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert answer.json()["error"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/", "/nothing", "/api", "/api/v1/nothing", "/api/v1/tasks//"])
async def test_an_unknown_path_is_404_in_the_one_body(
    client: httpx2.AsyncClient, path: str
) -> None:
    """
    With a valid token; without one it is 401 inside the API.
    """
    answer = await client.get(path)

    assert answer.status_code == 404
    assert answer.json()["error"] == "not_found"


@pytest.mark.parametrize("task", ["nonexistent", TASK, "a:events", "x" * 300, "..", "%2e%2e%2f"])
async def test_an_unknown_task_is_404_whatever_its_id_looks_like(
    client: httpx2.AsyncClient, task: str
) -> None:
    """
    No id, however it is spelt, reaches a key that is not a task.
    """
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/stream"),
        ("GET", "/diff"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ):
        answer = await client.request(method, f"/api/v1/tasks/{task}{path}")
        assert answer.status_code == 404, (method, path)


async def test_a_slash_at_the_end_makes_no_difference(client: httpx2.AsyncClient) -> None:
    """
    Version A's clients use both.
    """
    assert (await client.get("/api/v1/tasks/")).status_code == 200
    assert (await client.post("/api/v1/tasks/", json=body())).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_a_body_that_is_not_plain_json_is_415(
    client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    """
    It is refused by its label, not guessed at.
    """
    answer = await client.post("/api/v1/tasks", content=json.dumps(body()), headers=headers)

    assert answer.status_code == 415
    assert answer.json()["error"] == "unsupported_media_type"


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=UTF-8", None])
async def test_json_is_taken_by_its_label_or_without_one(
    client: httpx2.AsyncClient, kind: str | None
) -> None:
    """
    Version A never looked at the label.
    """
    headers = {"Content-Type": kind} if kind else {}

    answer = await client.post("/api/v1/tasks", content=json.dumps(body()), headers=headers)

    assert answer.status_code == 201


@pytest.fixture
async def small(redis_server: RedisServer, redis_client: Redis) -> AsyncGenerator[Service]:
    async with open_service(redis_server.url, max_body_bytes=200) as opened:
        yield opened


async def test_a_large_body_is_413_whether_it_says_its_length_or_not(small: Service) -> None:
    """
    Reading stops at the limit; nothing is kept of it.
    """

    async def chunks() -> AsyncGenerator[bytes]:
        for _ in range(10):
            yield b"x" * 50

    async with small.client() as client:
        fits = await client.post("/api/v1/tasks", json=body())
        told = await client.post("/api/v1/tasks", json=body(prompt="x" * 200))
        chunked = await client.post("/api/v1/tasks", content=chunks())

    assert fits.status_code == 201
    assert (told.status_code, chunked.status_code) == (413, 413)
    assert told.json()["error"] == chunked.json()["error"] == "payload_too_large"


@pytest.mark.parametrize("query", ["?wait=5", "?x=1"])
async def test_unknown_query_parameters_are_refused(client: httpx2.AsyncClient, query: str) -> None:
    """
    What would be ignored is named instead.
    """
    answer = await client.post(f"/api/v1/tasks{query}", json=body())

    assert answer.status_code == 400
    assert list(answer.json()["fields"].values()) == ["is not a known parameter"]


async def test_a_verb_without_members_refuses_members(client: httpx2.AsyncClient) -> None:
    """
    cancel and retry take nothing; an empty object is nothing.
    """
    task = (await client.post("/api/v1/tasks", json=body())).json()["id"]

    refused = await client.post(f"/api/v1/tasks/{task}/cancel", json={"force": True})
    done = await client.post(f"/api/v1/tasks/{task}/cancel", json={})

    assert refused.json()["fields"] == {"force": "is not a known field"}
    assert done.status_code == 200


async def test_requests_are_counted_by_their_route(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    Never by a raw path, which anybody could make endless.
    """
    await client.get(f"/api/v1/tasks/{TASK}")
    await client.get("/api/v1/tasks/")
    await client.get("/what/ever")
    async with service.client(token=None) as stranger:
        await stranger.get(f"/api/v1/tasks/{TASK}")

    assert service.seen == [
        ("GET", "/api/v1/tasks/{task_id}", 404),
        ("GET", "/api/v1/tasks", 200),
        ("GET", "unknown", 404),
        ("GET", "unknown", 401),
    ]


async def test_a_bug_is_a_500_that_tells_nothing(
    client: httpx2.AsyncClient, redis_client: Redis
) -> None:
    """
    The client gets the request id, the log the reason.
    """
    await redis_client.set(f"test:tenant:default:task:{TASK}", "not a hash")

    with capture_logs() as logs:
        answer = await client.get(f"/api/v1/tasks/{TASK}", headers={"X-Request-ID": "r1"})

    await redis_client.delete(f"test:tenant:default:task:{TASK}")
    assert answer.status_code == 500
    assert answer.json()["error"] == "internal_error"
    assert answer.json()["request_id"] == "r1"
    assert "WRONGTYPE" not in answer.text
    assert [entry["event"] for entry in logs] == ["http.failed", "http.request"]


async def test_redis_away_is_503_with_a_hint() -> None:
    """
    The same call may succeed later; health says what is wrong, and stays quick.
    """
    async with (
        open_service("unix:///nonexistent/redis.sock") as service,
        service.client() as client,
    ):
        answers = await asyncio.gather(
            client.post("/api/v1/tasks", json=body()),
            client.get("/api/v1/tasks"),
            client.get(f"/api/v1/tasks/{TASK}/stream"),
            client.post(f"/api/v1/tasks/{TASK}/cancel"),
            client.get("/api/v1/workers"),
        )
        health = await client.get("/health")
        refused = await client.post("/api/v1/tasks", json={"prompt": ""})

    for answer in answers:
        assert answer.status_code == 503
        assert answer.json()["error"] == "unavailable"
        assert int(answer.headers["retry-after"]) >= 1
    assert health.status_code == 503
    assert (health.json()["status"], health.json()["redis"]) == ("error", "disconnected")
    assert refused.status_code == 400
