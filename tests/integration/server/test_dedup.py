"""Deduplication over HTTP: who shares, who is refused, who takes another one's place."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from internal.ids import random_token
from internal.task.event import new_event
from internal.task.fenced import CancelAccepted
from internal.task.model import Failure, Outcome, Reason
from internal.task.queue import Lane
from tests.support.service import KEYS, Service, body
from tests.support.waiting import until

pytestmark = pytest.mark.live_keys


async def submit(
    client: httpx2.AsyncClient, policy: str, key: str = "nightly", **members: Any
) -> httpx2.Response:
    members["dedup"] = {"key": key, "policy": policy}
    return await client.post("/api/v1/tasks", json=body(**members))


async def test_weakness_10_a_coalesced_caller_waits_for_the_result_of_the_other(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    200 with the same id, like a repeated request; with `wait`, the whole task when it finished.
    """
    first = await submit(client, "coalesce")
    claim = await service.claim()

    at_once = await submit(client, "coalesce", prompt="Something else")
    hook = "https://hooks.example/second"
    waiting = asyncio.create_task(submit(client, "coalesce", wait=30, callback_url=hook))
    key = KEYS.task("default", claim.task.id)
    await until("it joined", lambda: service.redis.hexists(key, "callbacks"))
    await service.finish(claim)
    shared = await waiting

    assert (first.status_code, at_once.status_code, shared.status_code) == (201, 200, 200)
    assert at_once.json() == {**first.json(), "status": "running"}
    assert at_once.headers["location"] == first.headers["location"]
    assert shared.json()["id"] == first.json()["id"]
    assert shared.json()["result"] == "done"


async def test_a_rejected_duplicate_is_told_who_holds_the_key(client: httpx2.AsyncClient) -> None:
    """
    409 with a code of its own, and the holder in `task_id` and, for people, in the message.
    """
    first = await submit(client, "reject")

    second = await submit(client, "reject")

    assert second.status_code == 409
    assert second.json()["error"] == "duplicate"
    assert second.json()["task_id"] == first.json()["id"]
    assert first.json()["id"] in second.json()["message"]


async def test_the_latest_waits_for_the_end_of_the_one_it_cancelled(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    201 at once; its `wait` says what for; the older one ends as cancelled.
    """
    older = (await submit(client, "latest_wins")).json()["id"]
    claim = await service.claim()

    answer = await submit(client, "latest_wins")

    newer = answer.json()["id"]
    assert answer.status_code == 201
    assert await service.queue.claim(Lane.AGENT, worker="w2", home="h2") is None
    waiting = (await client.get(f"/api/v1/tasks/{newer}")).json()
    assert waiting["wait"]["reason"] == "cap"
    with pytest.raises(CancelAccepted):
        await service.finish(claim)
    ended = Outcome(failure=Failure(reason=Reason.CANCELED, message="cancelled by user"))
    tail = [new_event("system", "task_cancelled", {})]
    await service.queue.finish(claim, ended, random_token(), tail)
    assert (await service.claim()).task.id == newer
    assert (await client.get(f"/api/v1/tasks/{older}")).json()["status"] == "failed"


async def test_promise_18_of_many_equal_requests_at_once_one_makes_a_task(
    client: httpx2.AsyncClient,
) -> None:
    """
    By its Idempotency-Key, by its deduplication key, and by both.
    """
    dedup = {"dedup": {"key": "k", "policy": "coalesce"}}
    for members, headers in (
        ({}, {"Idempotency-Key": "a"}),
        (dedup, {}),
        (dedup, {"Idempotency-Key": "b"}),
    ):
        answers = await asyncio.gather(
            *(
                client.post("/api/v1/tasks", json=body(**members), headers=headers)
                for _ in range(20)
            )
        )

        assert len({answer.json()["id"] for answer in answers}) == 1
        assert sum(answer.status_code == 201 for answer in answers) <= 1
    assert len((await client.get("/api/v1/tasks")).json()["tasks"]) == 2


async def test_the_same_key_with_the_same_idempotency_key_is_one_request(
    client: httpx2.AsyncClient,
) -> None:
    """
    The Idempotency-Key is looked at first, so a repeat is no duplicate of itself.
    """
    request = body(dedup={"key": "k", "policy": "reject"})
    headers = {"Idempotency-Key": "once"}

    first = await client.post("/api/v1/tasks", json=request, headers=headers)
    again = await client.post("/api/v1/tasks", json=request, headers=headers)
    other = await client.post(
        "/api/v1/tasks", json=body(dedup={"key": "k", "policy": "coalesce"}), headers=headers
    )

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json()["id"] == first.json()["id"]
    assert other.json()["error"] == "idempotency_conflict"


@pytest.mark.parametrize(
    ("dedup", "field"),
    [
        ({"key": "", "policy": "reject"}, "dedup.key"),
        ({"key": "k" * 129, "policy": "reject"}, "dedup.key"),
        ({"key": "k"}, "dedup.policy"),
        ({"policy": "reject"}, "dedup.key"),
        ({"key": "k", "policy": "first_wins"}, "dedup.policy"),
        ({"key": "k", "policy": "reject", "ttl": 5}, "dedup.ttl"),
        ({"key": 7, "policy": "reject"}, "dedup.key"),
    ],
)
async def test_a_bad_dedup_is_refused_by_name(
    client: httpx2.AsyncClient, dedup: dict[str, Any], field: str
) -> None:
    """
    1 to 128 characters, and one of three policies.
    """
    answer = await client.post("/api/v1/tasks", json=body(dedup=dedup))

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]


async def test_a_key_of_any_characters_stays_one_key(client: httpx2.AsyncClient) -> None:
    """
    It is stored as a digest: no colon, line break or letter of another script breaks a name.
    """
    key = "a:b\n*ü/☃" + "x" * 100

    first = await submit(client, "coalesce", key)
    again = await submit(client, "coalesce", key)
    other = await submit(client, "coalesce", key + "y")

    assert again.json()["id"] == first.json()["id"]
    assert other.status_code == 201


async def test_half_a_surrogate_pair_is_no_key(client: httpx2.AsyncClient) -> None:
    """
    JSON can spell it, UTF-8 cannot.
    """
    text = '{"repo_url":"https://x.example/r","prompt":"p","dedup":{"key":"\\ud800","policy":"reject"}}'

    answer = await client.post("/api/v1/tasks", content=text)

    assert answer.status_code == 400


async def test_who_joined_is_in_the_audit_log(service: Service, client: httpx2.AsyncClient) -> None:
    """
    It changed who is told of the end.
    """
    await submit(client, "coalesce")

    await submit(client, "coalesce", callback_url="https://hooks.example/x")

    noted = await service.deps.audit.list("default", limit=10)
    assert [entry.action for entry in noted] == ["task.join", "task.submit"]
