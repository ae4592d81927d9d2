"""What CodeForge's first version answered, asked of a running deployment over plain HTTP."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import pytest

from tests.support.deployment import Deployment


def test_health_says_that_redis_is_connected(deployment: Deployment) -> None:
    """No token is needed."""
    answer = httpx2.get(f"{deployment.url}/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["redis"] == "connected"


def test_ready_is_200(deployment: Deployment) -> None:
    """No token is needed."""
    assert httpx2.get(f"{deployment.url}/ready").status_code == 200


def test_metrics_have_the_first_versions_names(deployment: Deployment) -> None:
    """Requests are counted, the one for the metrics itself comes too late."""
    httpx2.get(f"{deployment.url}/health")

    answer = httpx2.get(f"{deployment.url}/metrics")

    assert answer.status_code == 200
    for name in ("tasks_in_progress", "workers_total", "http_requests_total"):
        assert f"codeforge_{name}" in answer.text


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong-token"}])
def test_the_api_wants_the_right_token(deployment: Deployment, headers: dict[str, str]) -> None:
    """No token and a wrong one are the same."""
    answer = httpx2.get(f"{deployment.url}/api/v1/tasks/some-id", headers=headers)

    assert answer.status_code == 401


def test_a_task_that_never_was_is_not_found(http: httpx2.Client) -> None:
    """Reading and cancelling alike."""
    assert http.get("/api/v1/tasks/nonexistent-id").status_code == 404
    assert http.post("/api/v1/tasks/nonexistent/cancel").status_code == 404


_REPO = "https://github.com/user/repo.git"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": "do something"}, "repo_url"),
        ({"repo_url": _REPO}, "prompt"),
        ({"repo_url": "not-a-url", "prompt": "do something"}, "repo_url"),
        (
            {"repo_url": _REPO, "prompt": "do something", "callback_url": "not-a-url"},
            "callback_url",
        ),
    ],
)
def test_a_bad_request_is_refused_with_its_fields_name(
    http: httpx2.Client, body: dict[str, Any], field: str
) -> None:
    """Nothing is stored."""
    answer = http.post("/api/v1/tasks", json=body)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]


def test_a_key_is_registered_listed_and_removed(http: httpx2.Client) -> None:
    """Its token is in no answer."""
    body = {"name": "test-key-1", "provider": "github", "token": "ghp_test_token_123"}

    assert http.post("/api/v1/keys", json=body).status_code == 201

    listed = http.get("/api/v1/keys")
    (key,) = [key for key in listed.json()["keys"] if key["name"] == "test-key-1"]
    assert key["provider"] == "github"
    assert "token" not in key
    assert "ghp_test_token_123" not in listed.text
    assert http.delete("/api/v1/keys/test-key-1").status_code == 200
    assert "test-key-1" not in http.get("/api/v1/keys").text


def test_an_mcp_server_is_registered_listed_and_removed(http: httpx2.Client) -> None:
    """201, a listing with its name, 200."""
    name = f"test-mcp-{time.time_ns()}"
    server = {"name": name, "package": "@test/mcp-server", "args": ["--port", "3000"]}

    made = http.post("/api/v1/mcp/servers", json=server)
    listed = http.get("/api/v1/mcp/servers")
    removed = http.delete(f"/api/v1/mcp/servers/{name}")

    assert (made.status_code, listed.status_code, removed.status_code) == (201, 200, 200)
    assert name in [row["name"] for row in listed.json()["servers"]]


def test_workspaces_are_listed(http: httpx2.Client) -> None:
    """With the first version's members."""
    answer = http.get("/api/v1/workspaces")

    assert answer.status_code == 200
    assert {"workspaces", "total_count"} <= set(answer.json())


def test_a_workspace_that_never_was_is_not_found(http: httpx2.Client) -> None:
    """As a task."""
    assert http.delete("/api/v1/workspaces/nonexistent-id").status_code == 404
