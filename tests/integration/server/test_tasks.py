"""Tasks over HTTP, from submit to their end."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from internal.git.model import Changes, Diff, FileDiff, FileStatus
from internal.ids import random_token
from internal.task.diffstore import pack
from internal.task.event import new_event
from internal.task.model import Failure, Reason, Work
from tests.support.service import REPO, Service, body, completed, failed

pytestmark = pytest.mark.live_keys

BOOM = Failure(reason=Reason.AGENT_FAILED, message="it broke", detail={"exit": 1})


async def submit(client: httpx2.AsyncClient, **members: Any) -> str:
    answer = await client.post("/api/v1/tasks", json=body(**members))
    assert answer.status_code == 201, answer.text
    task: str = answer.json()["id"]
    return task


async def document(client: httpx2.AsyncClient, task: str, query: str = "") -> dict[str, Any]:
    answer = await client.get(f"/api/v1/tasks/{task}{query}")
    assert answer.status_code == 200, answer.text
    read: dict[str, Any] = answer.json()
    return read


async def test_a_new_task_is_a_receipt_and_then_a_document(client: httpx2.AsyncClient) -> None:
    """
    201 with id, status and time; Location leads to the whole task; secrets are nowhere.
    """
    secrets = {"access_token": "s3cret-token"}
    config = {"ai_api_key": "s3cret-key", "ai_model": "big", "max_budget_usd": 1.5}

    answer = await client.post(
        "/api/v1/tasks", json=body(labels={"a": "b"}, config=config, **secrets)
    )
    read = await client.get(answer.headers["location"])

    assert answer.status_code == 201
    assert set(answer.json()) == {"id", "status", "created_at"}
    assert answer.json()["status"] == "pending"
    assert answer.json()["created_at"].endswith("Z")
    assert answer.headers["location"] == f"/api/v1/tasks/{answer.json()['id']}"
    zeros = {
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_read_tokens": 0,
        "cache_creation_tokens": 0,
        "cost_usd": 0.0,
        "duration_seconds": 0.0,
        "turns": 0,
        "model": None,
    }
    assert read.json() == {
        "id": answer.json()["id"],
        "status": "pending",
        "repo_url": REPO,
        "prompt": "Add a function",
        "iteration": 1,
        "created_at": answer.json()["created_at"],
        "labels": {"a": "b"},
        "priority": "normal",
        "config": {
            "cli": "demo",
            "timeout_seconds": 300,
            "silence_seconds": 600,
            "ai_model": "big",
            "max_budget_usd": 1.5,
        },
        "usage": zeros,
        "usage_total": zeros,
    }
    assert "s3cret" not in answer.text + read.text


async def test_a_completed_task_shows_result_changes_and_usage(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    Members that are not set are left out; with include the iterations come too.
    """
    task = await submit(client, callback_url="https://hooks.example.com/x")
    claim = await service.claim()
    running = await document(client, task)
    await service.finish(claim)

    plain = await document(client, task)
    whole = await document(client, task, "?include=iterations")

    assert running["status"] == "running"
    assert running["attempt"] == 1
    assert running["isolation"] == "none"
    assert plain["status"] == "completed"
    assert plain["result"] == "done"
    assert plain["callback_url"] == "https://hooks.example.com/x"
    assert plain["changes_summary"] == {
        "files_modified": 0,
        "files_created": 1,
        "files_deleted": 0,
        "insertions": 3,
        "deletions": 0,
        "diff_stats": "+3 -0",
    }
    assert plain["usage"]["input_tokens"] == plain["usage_total"]["input_tokens"] == 10
    assert plain["started_at"] <= plain["finished_at"]
    assert not {"error", "failure", "wait", "pr_url", "iterations"} & set(plain)
    (iteration,) = whole["iterations"]
    assert iteration["number"] == 1
    assert iteration["status"] == "completed"
    assert iteration["changes"] == plain["changes_summary"]
    assert iteration["result"] == "done"


async def test_a_failed_task_shows_why(service: Service, client: httpx2.AsyncClient) -> None:
    """
    `error` is the message, `failure` what programs decide by.
    """
    task = await submit(client)
    await service.finish(await service.claim(), failed(BOOM))

    read = await document(client, task)

    assert read["status"] == "failed"
    assert read["error"] == "it broke"
    assert read["failure"] == {
        "reason": "agent_failed",
        "message": "it broke",
        "retryable": False,
        "detail": {"exit": 1},
    }


async def test_a_follow_up_goes_on_and_usage_adds_up(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    When instruct answers, the status is already the new one; iterations keep their own numbers.
    """
    task = await submit(client)
    await service.finish(await service.claim())

    answer = await client.post(f"/api/v1/tasks/{task}/instruct", json={"prompt": "more"})
    between = await document(client, task)
    again = await client.post(f"/api/v1/tasks/{task}/instruct", json={"prompt": "even more"})
    await service.finish(await service.claim())
    after = await document(client, task, "?include=iterations")

    assert answer.json() == {"id": task, "status": "awaiting_instruction", "iteration": 2}
    assert between["status"] == "awaiting_instruction"
    assert between["current_prompt"] == "more"
    assert again.status_code == 409
    assert after["status"] == "completed"
    assert after["usage"]["input_tokens"] == 10
    assert after["usage_total"]["input_tokens"] == 20
    assert [row["prompt"] for row in after["iterations"]] == ["Add a function", "more"]


async def test_retry_repeats_the_same_iteration(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    Only what failed can be retried.
    """
    task = await submit(client)
    early = await client.post(f"/api/v1/tasks/{task}/retry")
    await service.finish(await service.claim(), failed(BOOM))

    answer = await client.post(f"/api/v1/tasks/{task}/retry")
    await service.finish(await service.claim())
    late = await client.post(f"/api/v1/tasks/{task}/retry")

    assert answer.json() == {"id": task, "status": "pending", "iteration": 1}
    assert (early.status_code, late.status_code) == (409, 409)
    assert late.json()["error"] == "conflict"


async def test_cancel_tells_what_became_of_it(service: Service, client: httpx2.AsyncClient) -> None:
    """
    A first run that waits fails at once; a follow-up gives its task back; what runs is ended.
    """
    waiting = await submit(client)
    first = await client.post(f"/api/v1/tasks/{waiting}/cancel")
    over = await client.post(f"/api/v1/tasks/{waiting}/cancel")
    task = await submit(client)
    await service.finish(await service.claim())
    await client.post(f"/api/v1/tasks/{task}/instruct", json={"prompt": "more"})
    follow_up = await client.post(f"/api/v1/tasks/{task}/cancel")
    running = await submit(client)
    await service.claim()
    asked = await client.post(f"/api/v1/tasks/{running}/cancel")

    assert first.json()["status"] == "failed"
    assert (await document(client, waiting))["error"] == "cancelled by user"
    assert over.status_code == 409
    assert follow_up.json()["status"] == "completed"
    assert asked.json()["status"] == "cancelling"
    assert asked.json()["message"]
    assert (await document(client, running))["cancel_requested"] is True


async def test_delete_erases_only_what_is_finished(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    204 without a body; afterwards the task never existed.
    """
    task = await submit(client)
    early = await client.delete(f"/api/v1/tasks/{task}")
    await service.finish(await service.claim())

    answer = await client.delete(f"/api/v1/tasks/{task}")

    assert early.status_code == 409
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get(f"/api/v1/tasks/{task}")).status_code == 404
    assert (await client.delete(f"/api/v1/tasks/{task}")).status_code == 404
    assert (await client.get("/api/v1/tasks")).json()["tasks"] == []


async def test_an_idempotency_key_makes_one_task(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    The same body in another spelling is the same request, however long the client waits; the
    status is the one of now. Another body, or a deleted task, is a conflict.
    """
    key = {"Idempotency-Key": "order 66"}
    first = await client.post("/api/v1/tasks", json=body(labels={"a": "1", "b": "2"}), headers=key)
    await service.finish(await service.claim())

    spelt = '{ "labels":{"b":"2","a":"1"}, "wait":0, "prompt":"Add a function","repo_url":"%s" }'
    again = await client.post("/api/v1/tasks", content=spelt % REPO, headers=key)
    waited = await client.post(
        "/api/v1/tasks", json=body(labels={"a": "1", "b": "2"}, wait=30), headers=key
    )
    other = await client.post("/api/v1/tasks", json=body(prompt="x"), headers=key)
    await client.delete(f"/api/v1/tasks/{first.json()['id']}")
    gone = await client.post("/api/v1/tasks", json=body(labels={"a": "1", "b": "2"}), headers=key)

    assert first.status_code == 201
    assert again.status_code == 200
    assert again.json() == {**first.json(), "status": "completed"}
    assert waited.status_code == 200
    assert waited.json()["result"] == "done"
    assert (other.status_code, gone.status_code) == (409, 409)
    assert other.json()["error"] == gone.json()["error"] == "idempotency_conflict"


@pytest.mark.parametrize("key", ["", "x" * 129, "a\tb", "é"])
async def test_a_bad_idempotency_key_is_refused(client: httpx2.AsyncClient, key: str) -> None:
    """
    1 to 128 printable characters.
    """
    answer = await client.post(
        "/api/v1/tasks", json=body(), headers={b"Idempotency-Key": key.encode()}
    )

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["Idempotency-Key"]


async def test_wait_holds_the_answer_until_the_end(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    200 and the whole task once it is finished.
    """
    posting = asyncio.create_task(client.post("/api/v1/tasks", json=body(wait=60)))
    claim = await service.claim()
    await service.queue.append(claim, 1, [new_event("stream", "text", {"text": "hi"})])
    assert not posting.done()

    await service.finish(claim)
    answer = await posting

    assert answer.status_code == 200
    assert answer.json()["status"] == "completed"
    assert answer.headers["location"].endswith(answer.json()["id"])


async def test_wait_gives_up_with_the_task_as_it_is(client: httpx2.AsyncClient) -> None:
    """
    202 when the time is over; the task goes on.
    """
    answer = await client.post("/api/v1/tasks", json=body(wait=0.05))

    assert answer.status_code == 202
    assert answer.json()["status"] == "pending"


async def test_a_client_that_waits_and_leaves_changes_nothing(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    Waiting is reading: the task runs to its end without its client.
    """
    posting = asyncio.create_task(client.post("/api/v1/tasks", json=body(wait=60)))
    claim = await service.claim()
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)

    await service.finish(claim)

    assert (await document(client, claim.task.id))["status"] == "completed"


async def test_a_listing_filters_and_pages(service: Service, client: httpx2.AsyncClient) -> None:
    """
    Newest first, whole documents, a cursor that holds while tasks come and go.
    """
    tasks = [
        await submit(client, prompt=f"Fix the Parser {n}", labels={"n": str(n % 2)})
        for n in range(5)
    ]
    claim = await service.claim()
    await service.finish(claim)

    async def listed(query: str) -> list[str]:
        found = (await client.get(f"/api/v1/tasks?{query}")).json()
        return [task["id"] for task in found["tasks"]]

    newest_first = tasks[::-1]
    assert await listed("") == newest_first
    assert await listed("status=completed") == [tasks[0]]
    assert await listed("status=completed&status=pending") == newest_first
    assert await listed("label=n:1") == [tasks[3], tasks[1]]
    assert await listed("q=parser 4") == [tasks[4]]
    assert await listed("q=EXAMPLE.com") == newest_first
    assert await listed("agent=demo") == newest_first
    assert await listed("agent=claude-code") == []
    assert await listed(f"repo_url={REPO}") == newest_first
    assert await listed("repo_url=https://example.com/other") == []
    assert await listed("since=2099-01-01T00:00:00Z") == []
    assert await listed("since=2020-01-01T00:00:00Z") == newest_first

    seen: list[str] = []
    cursor = ""
    while True:
        page = (await client.get(f"/api/v1/tasks?limit=2{cursor}")).json()
        seen += [task["id"] for task in page["tasks"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
        if len(seen) == 2:
            await client.delete(f"/api/v1/tasks/{tasks[0]}")
    assert seen == newest_first[:4]


def a_diff(*, size: int = 0) -> Diff:
    patch = b"diff --git a/f b/f\n" + b"+\xff\xfe\n"
    return Diff(
        base="a" * 40,
        head="b" * 40,
        files=(
            FileDiff(path="f", status=FileStatus.ADDED, additions=3, patch="+x\n"),
            FileDiff(path="new", old_path="old", status=FileStatus.RENAMED),
            FileDiff(path="bin", status=FileStatus.MODIFIED, binary=True),
        ),
        changes=Changes(files_created=1, files_modified=2, insertions=3),
        patch=patch + b"x" * size,
    )


async def test_a_diff_is_json_or_a_patch(service: Service, client: httpx2.AsyncClient) -> None:
    """
    `Accept` decides; the patch is the stored bytes.
    """
    task = await submit(client)
    none_yet = await client.get(f"/api/v1/tasks/{task}/diff")
    stored, _ = pack(a_diff())
    work = Work(commit="b" * 40, claim="c", home="home")
    await service.finish(await service.claim(), completed(work=work, stored_diff=stored))

    as_json = await client.get(f"/api/v1/tasks/{task}/diff")
    as_patch = await client.get(
        f"/api/v1/tasks/{task}/diff?iteration=1",
        headers={"Accept": "text/x-diff, application/json;q=0.5"},
    )
    other = await client.get(f"/api/v1/tasks/{task}/diff?iteration=2")

    assert none_yet.status_code == 404
    assert as_json.json()["base"] == "a" * 40
    assert as_json.json()["totals"] == {"files": 3, "additions": 3, "deletions": 0}
    assert [file["path"] for file in as_json.json()["files"]] == ["f", "new", "bin"]
    assert as_json.json()["files"][1]["old_path"] == "old"
    assert as_json.json()["files"][2]["binary"] is True
    assert as_json.json()["truncated"] is False
    assert as_patch.headers["content-type"].startswith("text/x-diff")
    assert as_patch.content == a_diff().patch
    assert other.status_code == 404


async def test_stats_count_states_queue_and_usage(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    What autoscalers and people look at.
    """
    await submit(client)
    await submit(client)
    await service.finish(await service.claim())

    stats = (await client.get("/api/v1/stats")).json()

    assert stats["tasks"]["pending"] == 1
    assert stats["tasks"]["completed"] == 1
    assert stats["queue"]["depth"] == 1
    assert stats["queue"]["oldest_seconds"] >= 0
    assert stats["usage_today"] == {
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_usd": 0.5,
        "unpriced_tokens": 0,
    }


async def test_agents_and_workers_are_what_live_workers_say(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    The whole table; available only where a live worker has it.
    """
    agents = {"demo": {"available": True, "version": "1.0"}, "claude-code": {"available": False}}
    info = {
        "host": "box",
        "slots": 3,
        "busy": 1,
        "version": "1.2.3",
        "isolation": "none",
        "isolation_reason": "bubblewrap is not installed",
        "workspace_mb": 1.5,
        "agents": {**agents, "claude-code": {"available": False, "reason": "not found on PATH"}},
    }
    await service.queue.register("w1", "home", info)

    workers = (await client.get("/api/v1/workers")).json()["workers"]
    table = {
        agent["name"]: agent for agent in (await client.get("/api/v1/agents")).json()["agents"]
    }
    health = (await client.get("/health")).json()

    (worker,) = workers
    assert (worker["id"], worker["home"], worker["host"]) == ("w1", "home", "box")
    assert (worker["slots"], worker["busy"], worker["isolation"]) == (3, 1, "none")
    assert worker["isolation_reason"] == "bubblewrap is not installed"
    assert table["demo"]["available"] is True
    assert table["demo"]["version"] == "1.0"
    assert table["demo"]["default"] is True
    assert table["demo"]["reason"] is None
    assert table["demo"]["capabilities"]["resume"] is True
    assert table["claude-code"]["reason"] == "not found on PATH"
    assert (table["codex"]["available"], table["codex"]["reason"]) == (
        False,
        "comes in a later version",
    )
    assert (health["workspace_disk_usage_mb"], health["isolation"]) == (1.5, "none")


async def test_health_is_as_the_go_server_has_it(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    The same members, and what isolates agents; a process that stops is not ready.
    """
    health = await client.get("/health")
    ready = await client.get("/ready")
    head = await client.head("/health")
    service.stop.set()
    stopping = await client.get("/ready")

    assert health.json() == {
        "status": "ok",
        "redis": "connected",
        "version": "1.2.3",
        "uptime": "0s",
        "workspace_disk_usage_mb": 0.0,
        "isolation": None,
    }
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    assert head.status_code == 200
    assert (stopping.status_code, stopping.json()) == (503, {"status": "shutting_down"})


async def test_a_finish_that_is_repeated_shows_once(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    A worker repeats its report until it is answered; the task ends once.
    """
    task = await submit(client)
    claim, operation = await service.claim(), random_token()
    for _ in range(3):
        await service.queue.finish(claim, completed(), operation)

    events = (await client.get(f"/api/v1/tasks/{task}/events")).json()["events"]

    assert [event["event"] for event in events].count("task_completed") == 1
    assert (await document(client, task))["usage_total"]["turns"] == 1


async def test_a_task_is_paused_and_resumed(service: Service, client: httpx2.AsyncClient) -> None:
    """
    What waits at once, what runs by its worker; twice is once, and a resume is for what is paused.
    """
    task = await submit(client)
    paused = await client.post(f"/api/v1/tasks/{task}/pause")
    again = await client.post(f"/api/v1/tasks/{task}/pause")
    resumed = await client.post(f"/api/v1/tasks/{task}/resume")
    refused = await client.post(f"/api/v1/tasks/{task}/resume")
    claim = await service.claim()
    asked = await client.post(f"/api/v1/tasks/{task}/pause")
    running = await document(client, task)
    await service.finish(claim)
    finished = await client.post(f"/api/v1/tasks/{task}/pause")

    assert paused.status_code == again.status_code == 200
    assert paused.json() == again.json()
    assert paused.json()["status"] == "paused"
    assert resumed.json() == {"id": task, "status": "pending"}
    assert refused.status_code == finished.status_code == 409
    assert asked.json()["status"] == "pausing"
    assert (running["status"], running["pause_requested"]) == ("running", True)
    assert "pause_requested" not in await document(client, task)
