"""What black-box programs written for the Go server expect, on a real server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest

from tests.support.service import TOKEN, Service, listening

pytestmark = pytest.mark.live_keys

REPO = "https://github.com/user/repo.git"


@pytest.fixture
async def http(service: Service) -> AsyncGenerator[httpx2.AsyncClient]:
    async with listening(service) as url, httpx2.AsyncClient(base_url=url, timeout=30) as client:
        client.headers["Content-Type"] = "application/json"
        yield client


@pytest.fixture
async def known(http: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """The same client with its token."""
    http.headers["Authorization"] = f"Bearer {TOKEN}"
    return http


async def test_health_says_ok_and_connected(http: httpx2.AsyncClient) -> None:
    """
    Without a token.
    """
    answer = await http.get("/health")

    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["redis"]) == ("ok", "connected")


async def test_ready_answers(http: httpx2.AsyncClient) -> None:
    """
    Without a token.
    """
    assert (await http.get("/ready")).status_code == 200


async def test_metrics_answer(http: httpx2.AsyncClient) -> None:
    """
    Without a token; the names are checked where they are made.
    """
    answer = await http.get("/metrics")

    assert answer.status_code == 200
    assert "codeforge_http_requests_total" in answer.text


@pytest.mark.parametrize("token", [None, "wrong-token"])
async def test_the_api_wants_the_token(http: httpx2.AsyncClient, token: str | None) -> None:
    """
    None and a wrong one are 401.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    assert (await http.get("/api/v1/tasks/some-id", headers=headers)).status_code == 401


async def test_an_unknown_task_is_404(known: httpx2.AsyncClient) -> None:
    """
    To read it and to cancel it.
    """
    assert (await known.get("/api/v1/tasks/nonexistent-id")).status_code == 404
    assert (await known.post("/api/v1/tasks/nonexistent/cancel")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "do something"},
        {"repo_url": REPO},
        {"repo_url": "not-a-url", "prompt": "do something"},
        {"repo_url": REPO, "prompt": "do something", "callback_url": "not-a-url"},
    ],
)
async def test_a_bad_task_is_400(known: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    """
    And nothing was made.
    """
    answer = await known.post("/api/v1/tasks", json=body)

    assert answer.status_code == 400
    assert (await known.get("/api/v1/tasks")).json()["tasks"] == []
