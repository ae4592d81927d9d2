"""A whole machine as `codeforge up` runs it: what is killed is restarted, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from codeforge.client import ApiError, Client, Document, Unreachable
from tests.support.chaos_process import children_of
from tests.support.deployment import Deployment, eventually, running
from tests.support.repos import Repo, small_repo

pytestmark = pytest.mark.chaos


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    """One machine."""
    with running({"CODEFORGE_WORKERS__CONCURRENCY": "4"}) as deployment:
        yield deployment


@pytest.fixture
def repo(deployment: Deployment) -> Repo:
    return small_repo(deployment.repositories / os.urandom(4).hex())


def test_promise_6a_up_restarts_a_killed_redis_and_no_task_is_lost(
    deployment: Deployment, repo: Repo
) -> None:
    """Under load: what was accepted finishes in its first attempt, what was not got an error."""
    with deployment.client() as client:
        tasks = [_submit(client, repo, f"say begun\nsleep 0.{n}") for n in range(1, 9)]
        for _ in range(2):
            _kill(deployment, "redis-server", "valkey-server")
            tasks += [_submit(client, repo, "say hello") for _ in range(3)]

        found = [deployment.finished(task, client=client) for task in tasks]

    assert [(task["status"], task["attempt"]) for task in found] == [("completed", 1)] * 14
    assert len({task["id"] for task in found}) == 14
    asyncio.run(deployment.settled())


def test_weakness_11_everything_killed_at_once_costs_at_most_one_life_each(
    deployment: Deployment, repo: Repo
) -> None:
    """After a power cut, so to speak, `up` starts again and every task finishes once."""
    with deployment.client() as client:
        prompt = "say begun\nwrite mine.txt: x\nsleep 2\nsay done"
        tasks = [_submit(client, repo, prompt) for _ in range(6)]
        eventually(lambda: all(_has_begun(client, task) for task in tasks[:4]), "agents run")
        agents = deployment.agents()

    for pid in [deployment.pid, *children_of(deployment.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert deployment.stop(signal.SIGKILL) == -signal.SIGKILL
    assert len(agents) >= 4
    eventually(lambda: not deployment.agents(), "no agent is left")
    deployment.start()

    with deployment.client() as client:
        found = [deployment.finished(task, client=client) for task in tasks]
        for task in tasks:
            events = client.events(task, limit=200)["events"]
            finals = [event for event in events if event["event"] == "task_completed"]
            assert finals == events[-1:]
    assert [task["status"] for task in found] == ["completed"] * 6
    assert sorted(task["attempt"] for task in found) == [1, 1, 2, 2, 2, 2]
    asyncio.run(deployment.settled())


def _submit(client: Client, repo: Repo, prompt: str) -> str:
    """As a client does that repeats what was refused, with the same key."""
    request = {"repo_url": repo.url, "prompt": prompt, "config": {"cli": "demo"}}
    key = os.urandom(8).hex()
    created: list[Document] = []

    def accepted() -> bool:
        try:
            created.append(client.submit(request, idempotency_key=key))
        except ApiError as error:
            if error.status != 503:
                raise
            return False
        except Unreachable:
            return False
        return True

    eventually(accepted, "a task is accepted")
    return str(created[0]["id"])


def _has_begun(client: Client, task: str) -> bool:
    return any(event["data"].get("text") == "begun" for event in client.events(task)["events"])


def _kill(deployment: Deployment, *programs: str) -> None:
    below = children_of(deployment.pid)
    pids = [pid for pid, words in below.items() if any(name in words for name in programs)]
    assert pids, below
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
