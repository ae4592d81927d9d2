"""Pull requests over HTTP: what a client hears when one is made, refused, or takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis

from internal.git.model import Changes, Diff, FileDiff, FileStatus
from internal.ids import random_token
from internal.server.deps import TaskRules
from internal.task.diffstore import pack
from internal.task.model import Claim, Failure, Reason, Work
from internal.task.ops import OpKind
from internal.task.pullrequest import NotPublished, Published
from internal.task.queue import Lane
from tests.support.redis import RedisServer
from tests.support.service import AGENTS, Service, body, completed, failed, open_service

pytestmark = pytest.mark.live_keys

_MADE = Published(url="https://example.com/pull/7", number=7, branch="codeforge/x", updated=False)


@pytest.fixture
async def service(redis_server: RedisServer, redis_client: Redis) -> AsyncGenerator[Service]:
    rules = TaskRules(agents=AGENTS, default_agent="demo", pr_wait_seconds=30)
    async with open_service(redis_server.url, rules=rules) as opened:
        yield opened


async def done(service: Service, client: httpx2.AsyncClient, **outcome: Any) -> str:
    """A task that has ended, with work unless said otherwise."""
    task: str = (await client.post("/api/v1/tasks", json=body())).json()["id"]
    claim = await service.claim()
    work = Work(commit="c" * 40, claim=claim.claim, home="home")
    await service.finish(
        claim, completed(**{"work": work, "stored_diff": diff("a.txt"), **outcome})
    )
    return task


def diff(path: str, *, withhold: bool = False) -> bytes:
    files = (FileDiff(path=path, status=FileStatus.ADDED, additions=1),)
    changes = Changes(files_created=1, insertions=1)
    made = Diff(base="b" * 40, head="c" * 40, files=files, changes=changes, patch=b"patch")
    return pack(made, withhold=withhold)[0]


async def take(service: Service) -> Claim:
    """The next create-pr, as a worker takes it."""
    async with asyncio.timeout(30):
        while True:
            claim = await service.queue.claim(Lane.PUBLISH, worker="worker", home="home")
            if claim is not None:
                return claim
            await service.queue.wait([Lane.PUBLISH], "home")


async def test_the_call_waits_for_the_pull_request(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """200 with version A's members; what was asked for reaches the worker; the document has it."""
    task = await done(service, client)
    asked = {"title": "T", "target_branch": "dev", "draft": True, "labels": ["a"], "reviewers": []}

    waiting = asyncio.create_task(client.post(f"/api/v1/tasks/{task}/create-pr", json=asked))
    claim = await take(service)
    await service.queue.finish_pr(claim, _MADE, random_token())
    answer = await waiting
    read = (await client.get(f"/api/v1/tasks/{task}")).json()

    assert (answer.status_code, answer.json()) == (
        200,
        {"pr_url": _MADE.url, "pr_number": 7, "branch": "codeforge/x"},
    )
    assert claim.pr_options is not None
    assert claim.pr_options.said() == {**asked, "labels": ("a",), "reviewers": ()}
    assert (read["status"], read["pr_number"], read["branch"]) == ("pr_created", 7, "codeforge/x")


async def test_a_pull_request_that_takes_long_is_accepted(redis_server: RedisServer) -> None:
    """202 with the state; a client that went away has changed nothing."""
    rules = TaskRules(agents=AGENTS, default_agent="demo", pr_wait_seconds=0)
    async with open_service(redis_server.url, rules=rules) as service, service.client() as client:
        task = await done(service, client)

        answer = await client.post(f"/api/v1/tasks/{task}/create-pr")

        assert (answer.status_code, answer.json()) == (202, {"id": task, "status": "creating_pr"})
        claim = await take(service)
        await service.queue.finish_pr(claim, _MADE, random_token())


async def test_fault_a15_concurrent_calls_get_the_same_pull_request(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """One run; the second waits for the first one's end. Another request is refused meanwhile."""
    task = await done(service, client)

    calls = [
        asyncio.create_task(client.post(f"/api/v1/tasks/{task}/create-pr", json={"title": "x"}))
        for _ in range(3)
    ]
    claim = await take(service)
    other = await client.post(f"/api/v1/tasks/{task}/create-pr", json={"title": "other"})
    await service.queue.finish_pr(claim, _MADE, random_token())
    answers = await asyncio.gather(*calls)

    assert (other.status_code, other.json()["error"]) == (409, "conflict")
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert all(a.json().get("pr_number") == 7 for a in answers if a.status_code == 200)
    assert await service.queue.claim(Lane.PUBLISH, worker="w", home="home") is None


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("no_changes", 400),
        ("unsupported_host", 400),
        ("link_leaves_tree", 400),
        ("policy_denied", 400),
        ("push_rejected", 409),
        ("canceled", 409),
        ("provider_error", 502),
        ("disk_full", 503),
    ],
)
async def test_fault_a7_a_run_that_ends_without_one_is_told_with_its_code(
    service: Service, client: httpx2.AsyncClient, reason: str, status: int
) -> None:
    """The task is as it was, with the reason; the next call is a new run."""
    task = await done(service, client)
    before = (await client.get(f"/api/v1/tasks/{task}")).json()

    waiting = asyncio.create_task(client.post(f"/api/v1/tasks/{task}/create-pr"))
    claim = await take(service)
    ended = NotPublished(reason=reason, message="it did not work")
    await service.queue.finish_pr(claim, ended, random_token())
    answer = await waiting
    after = (await client.get(f"/api/v1/tasks/{task}")).json()

    assert (answer.status_code, answer.json()["message"]) == (status, "it did not work")
    assert answer.json()["error"] == ("unavailable" if status == 503 else reason)
    assert after == {**before, "pr_error": "it did not work"}


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        ({"changes": Changes()}, 400, "no_changes"),
        ({"work": None, "stored_diff": None}, 400, "no_changes"),
        ({"stored_diff": diff(".github/workflows/ci.yml")}, 400, "workflow_in_diff"),
        ({"stored_diff": diff("a", withhold=True)}, 400, "secret_in_diff"),
    ],
)
async def test_what_can_be_told_before_is_refused_with_nothing_changed(
    service: Service, client: httpx2.AsyncClient, outcome: dict[str, Any], status: int, code: str
) -> None:
    """No run, no event."""
    task = await done(service, client, **outcome)
    before = (await client.get(f"/api/v1/tasks/{task}/events")).json()

    answer = await client.post(f"/api/v1/tasks/{task}/create-pr")

    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert (await client.get(f"/api/v1/tasks/{task}/events")).json() == before


async def test_tasks_that_cannot_be_published_say_why(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """Not finished: 409; failed without work: 409; unknown: 404; a bad body: 400 by name."""
    task: str = (await client.post("/api/v1/tasks", json=body())).json()["id"]
    early = await client.post(f"/api/v1/tasks/{task}/create-pr")
    failure = Failure(reason=Reason.CLONE_FAILED, message="no")
    await service.finish(await service.claim(), failed(failure))
    empty = await client.post(f"/api/v1/tasks/{task}/create-pr")
    unknown = await client.post(f"/api/v1/tasks/{'0' * 26}/create-pr")
    wrong = {"title": 1, "labels": [""], "target_branch": "a..b", "x": 1}
    bad = await client.post(f"/api/v1/tasks/{task}/create-pr", json=wrong)

    assert [early.status_code, empty.status_code, unknown.status_code] == [409, 409, 404]
    assert set(bad.json()["fields"]) == {"title", "labels[0]", "target_branch", "x"}


async def test_work_of_a_failed_task_can_be_published(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """`failed` is no grave."""
    failure = Failure(reason=Reason.AGENT_FAILED, message="no")
    task = await done(service, client, failure=failure)

    waiting = asyncio.create_task(client.post(f"/api/v1/tasks/{task}/create-pr"))
    await service.queue.finish_pr(await take(service), _MADE, random_token())

    assert (await waiting).status_code == 200


async def test_how_a_pull_request_stands_is_asked_of_a_worker(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """404 while there is none; the worker's answer; its errors with their codes."""
    task = await done(service, client)
    none = await client.get(f"/api/v1/tasks/{task}/pr")
    waiting = asyncio.create_task(client.post(f"/api/v1/tasks/{task}/create-pr"))
    await service.queue.finish_pr(await take(service), _MADE, random_token())
    await waiting
    stands = {"number": 7, "url": _MADE.url, "state": "merged", "branch": "codeforge/x"}

    async def answer(told: dict[str, Any]) -> None:
        ops = service.deps.ops
        while (op := await ops.take("home")) is None:
            pass
        assert (op.kind, op.args["task"]) == (OpKind.READ_PR, task)
        await ops.answer(op, told)

    answers: list[httpx2.Response] = []
    for told in (stands, {"error": "host says no", "code": "provider_error"}):
        _, found = await asyncio.gather(answer(told), client.get(f"/api/v1/tasks/{task}/pr"))
        answers.append(found)

    assert none.status_code == 404
    assert (answers[0].status_code, answers[0].json()) == (200, stands)
    assert (answers[1].status_code, answers[1].json()["error"]) == (502, "provider_error")


async def test_a_task_says_whether_pull_requests_follow_by_themselves(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """`auto_create_pr` and what was chosen of `pr`; the run is followed by its create-pr."""
    config = {"auto_create_pr": True, "pr": {"title": "T", "labels": ["x"]}}
    task: str = (await client.post("/api/v1/tasks", json=body(config=config))).json()["id"]
    claim = await service.claim()
    work = Work(commit="c" * 40, claim=claim.claim, home="home")
    await service.finish(claim, replace(completed(), work=work, stored_diff=diff("a")))

    read = (await client.get(f"/api/v1/tasks/{task}")).json()

    assert read["status"] == "creating_pr"
    assert read["config"]["auto_create_pr"] is True
    assert read["config"]["pr"] == {"title": "T", "labels": ["x"]}
    taken = await take(service)
    assert taken.task.config.pr is not None
    await service.queue.finish_pr(taken, _MADE, random_token())
