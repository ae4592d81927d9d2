"""Web pages of other origins: none unless named, and then with everything they need."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx2
import pytest
from redis.asyncio import Redis

from tests.support.redis import RedisServer
from tests.support.service import TOKEN, body, open_service

pytestmark = pytest.mark.live_keys

ORIGIN = "https://console.example.com"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
}


@pytest.fixture
async def page(
    redis_server: RedisServer, redis_client: Redis
) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client without a token, of a server that knows one origin."""
    async with (
        open_service(redis_server.url, cors_origins=(ORIGIN,)) as service,
        service.client(token=None) as client,
    ):
        yield client


async def test_without_origins_nothing_is_said_of_them(client: httpx2.AsyncClient) -> None:
    """
    Off is off: a browser then lets no page read anything.
    """
    preflight = await client.options("/api/v1/tasks", headers=PREFLIGHT)
    answer = await client.get("/api/v1/tasks", headers={"Origin": ORIGIN})

    assert preflight.status_code == 405
    for one in (preflight, answer):
        assert not [name for name in one.headers if name.startswith("access-control")]


async def test_fault_a29_a_named_origin_may_call(page: httpx2.AsyncClient) -> None:
    """
    The preflight needs no token, the call does; its answer may be read, errors too.
    """
    preflight = await page.options("/api/v1/tasks", headers=PREFLIGHT)
    headers = {"Origin": ORIGIN, "Authorization": f"Bearer {TOKEN}"}
    made = await page.post("/api/v1/tasks", json=body(), headers=headers)
    refused = await page.post("/api/v1/tasks", json=body(), headers={"Origin": ORIGIN})

    assert preflight.status_code == 200
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in preflight.headers
    assert (made.status_code, refused.status_code) == (201, 401)
    for one in (preflight, made, refused):
        assert one.headers["access-control-allow-origin"] == ORIGIN
        assert "Origin" in one.headers["vary"]
        assert one.headers["x-request-id"]
    shown = made.headers["access-control-expose-headers"]
    assert {"Location", "Retry-After", "X-Request-ID", "RateLimit"} <= set(shown.split(", "))


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "https://console.example.com.evil.net",
        "null",
        "http://console.example.com",
    ],
)
async def test_another_origin_is_not_let_in(page: httpx2.AsyncClient, origin: str) -> None:
    """
    Scheme, host and port must be the same to the letter.
    """
    preflight = await page.options("/api/v1/tasks", headers=PREFLIGHT | {"Origin": origin})
    answer = await page.get("/health", headers={"Origin": origin})

    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    assert "access-control-allow-origin" not in answer.headers
