"""What CodeForge's first version did with tasks, with a mock in the place of Claude Code."""

from __future__ import annotations

import httpx2

from codeforge.client import Client, Document
from tests.support.deployment import Deployment, eventually
from tests.support.repos import Repo


def submit(http: httpx2.Client, repo_url: str, prompt: str, **config: int) -> str:
    """Create a task for the default agent; its id."""
    body = {"repo_url": repo_url, "prompt": prompt, "config": config}

    answer = http.post("/api/v1/tasks", json=body)

    assert answer.status_code == 201, answer.text
    assert isinstance(answer.json()["id"], str)
    return str(answer.json()["id"])


def test_a_task_completes_with_its_result_and_usage(
    deployment: Deployment, client: Client, http: httpx2.Client, repository: Repo
) -> None:
    """The numbers are those that the agent told."""
    task = submit(http, repository.url, "Add a hello world function")

    document = deployment.finished(task, client=client)

    assert document["status"] == "completed", document
    assert "Add a hello world function" in document["result"]
    assert document["usage"]["input_tokens"] == 150
    assert document["usage"]["output_tokens"] == 50
    assert document["usage"]["duration_seconds"] >= 0
    assert document["iteration"] == 1


def test_an_agent_that_fails_fails_its_task(
    deployment: Deployment, client: Client, http: httpx2.Client, repository: Repo
) -> None:
    """The error says what the agent wrote to stderr."""
    task = submit(http, repository.url, "FAIL")

    document = deployment.finished(task, client=client)

    assert document["status"] == "failed"
    assert document["failure"]["reason"] == "agent_failed"
    assert "it failed as told" in document["error"]


def test_an_agent_that_takes_too_long_is_ended(
    deployment: Deployment, client: Client, http: httpx2.Client, repository: Repo
) -> None:
    """`timeout_seconds` is the limit of the run."""
    task = submit(http, repository.url, "TIMEOUT", timeout_seconds=1)

    document = deployment.finished(task, client=client)

    assert (document["status"], document["failure"]["reason"]) == ("failed", "timeout")
    assert "timed out" in document["error"]


def test_a_running_task_can_be_cancelled(
    deployment: Deployment, client: Client, http: httpx2.Client, repository: Repo
) -> None:
    """The answer comes at once, the end soon."""
    task = submit(http, repository.url, "TIMEOUT", timeout_seconds=120)
    eventually(lambda: client.get(task)["status"] == "running", "the task runs")

    answer = http.post(f"/api/v1/tasks/{task}/cancel")
    document = deployment.finished(task, client=client)

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelling")
    assert (document["status"], document["failure"]["reason"]) == ("failed", "canceled")
    assert "cancelled by user" in document["error"]


def test_a_follow_up_is_the_second_iteration(
    deployment: Deployment, client: Client, http: httpx2.Client, repository: Repo
) -> None:
    """It is not finished any more when the call returns, and both are on record at the end."""
    task = submit(http, repository.url, "Initial task")
    assert deployment.finished(task, client=client)["status"] == "completed"

    answer = http.post(f"/api/v1/tasks/{task}/instruct", json={"prompt": "Now add tests"})
    document = deployment.finished(task, client=client)

    assert (answer.status_code, answer.json()["iteration"]) == (200, 2)
    assert document["status"] == "completed"
    assert [_row(row) for row in document["iterations"]] == [
        (1, "completed", "Initial task"),
        (2, "completed", "Now add tests"),
    ]


def test_a_repository_that_is_not_there_fails_the_task(
    deployment: Deployment, client: Client, http: httpx2.Client
) -> None:
    """It is accepted, because only the worker can tell."""
    task = submit(http, "file:///nonexistent/repo.git", "Do something")

    document = deployment.finished(task, client=client)

    assert (document["status"], document["failure"]["reason"]) == ("failed", "repo_not_found")
    assert "/nonexistent/repo.git" in document["error"]


def _row(iteration: Document) -> tuple[int, str, str]:
    return iteration["number"], iteration["status"], iteration["prompt"]
