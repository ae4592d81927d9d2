"""The audit log over HTTP: every act that changes something, and nothing secret."""

from __future__ import annotations

import httpx2
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from internal.task.model import Failure, Reason
from tests.support.belongings import KEY
from tests.support.service import Service, body, completed, failed

pytestmark = pytest.mark.live_keys

AUDIT = "/api/v1/audit"


async def test_each_act_of_a_task_is_noted(service: Service, client: httpx2.AsyncClient) -> None:
    """
    With its id; what was refused or repeated is no act.
    """
    headers = {"Idempotency-Key": "once"}
    task = (await client.post("/api/v1/tasks", json=body(), headers=headers)).json()["id"]
    path = f"/api/v1/tasks/{task}"
    await client.post("/api/v1/tasks", json=body(), headers=headers)
    await client.post("/api/v1/tasks", json={})
    await client.post(f"{path}/retry")
    await service.finish(await service.claim(), completed())
    await client.post(f"{path}/instruct", json={"prompt": "Go on with hunter22"})
    await client.post(f"{path}/cancel")
    await client.post(f"{path}/instruct", json={"prompt": "Again"})
    failure = Failure(reason=Reason.AGENT_FAILED, message="x", retryable=False)
    await service.finish(await service.claim(), failed(failure))
    await client.post(f"{path}/retry")
    await service.finish(await service.claim(), completed())
    await client.delete(path)

    answer = await client.get(AUDIT, headers={"X-Request-ID": "mine"})

    entries = answer.json()["entries"]
    assert [entry["action"] for entry in reversed(entries)] == [
        "task.submit",
        "task.instruct",
        "task.cancel",
        "task.instruct",
        "task.retry",
        "task.delete",
    ]
    assert {entry["object"] for entry in entries} == {task}
    assert {entry["token"] for entry in entries} == {"server.auth_token"}
    assert all(entry["request_id"] and entry["at"] for entry in entries)
    assert "hunter22" not in answer.text


async def test_secrets_of_requests_are_not_noted(client: httpx2.AsyncClient) -> None:
    """
    Neither a key's value nor a token's text.
    """
    await client.post("/api/v1/keys", json=KEY)
    token = (await client.post("/api/v1/tokens", json={"name": "ci", "scopes": ["read"]})).json()
    await client.delete("/api/v1/tokens/ci")
    await client.post("/api/v1/tasks", json=body(config={"ai_api_key": "hunter22-hunter22"}))

    answer = await client.get(AUDIT)

    noted = {entry["action"]: entry for entry in answer.json()["entries"]}
    assert set(noted) == {"key.create", "token.create", "token.revoke", "task.submit"}
    assert noted["token.create"]["details"] == {"tenant": "default", "scopes": "read"}
    for secret in (str(KEY["token"]), token["token"], "hunter22", "Add a function"):
        assert secret not in answer.text


async def test_pages_lead_to_the_end(client: httpx2.AsyncClient) -> None:
    """
    Each entry once; `next_cursor` is null on the last page, also when it is full.
    """
    for _ in range(6):
        await client.post("/api/v1/tasks", json=body())
    seen: list[str] = []
    query = f"{AUDIT}?limit=2"
    pages = 0
    while query:
        page = (await client.get(query)).json()
        seen += [entry["id"] for entry in page["entries"]]
        cursor, pages = page["next_cursor"], pages + 1
        query = f"{AUDIT}?limit=2&cursor={cursor}" if cursor else ""

    assert (len(set(seen)), pages) == (6, 3)
    assert (await client.get(f"{AUDIT}?since=2999-01-01T00:00:00Z")).json()["entries"] == []


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=1", "since=now", "limit=0", "tenant=A", "x=1"]
)
async def test_bad_parameters_are_refused(client: httpx2.AsyncClient, query: str) -> None:
    """
    By name.
    """
    answer = await client.get(f"{AUDIT}?{query}")

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [query.partition("=")[0]]


async def test_an_act_stands_when_its_note_fails(
    client: httpx2.AsyncClient, redis_client: Redis
) -> None:
    """
    The request of a deed that was done is not failed by its book-keeping.
    """
    await redis_client.set("test:tenant:default:audit", "no stream")

    answer = await client.post("/api/v1/tasks", json=body())

    assert answer.status_code == 201
    await redis_client.delete("test:tenant:default:audit")


async def test_an_entry_is_in_the_log_of_the_server_too(client: httpx2.AsyncClient) -> None:
    """
    What Redis keeps has an end, and whoever may act can act so often that an entry falls out of it.
    """
    with capture_logs() as logs:
        await client.post("/api/v1/keys", json=KEY)

    (noted,) = (line for line in logs if line["event"] == "audit.recorded")
    (kept,) = (await client.get(AUDIT)).json()["entries"]
    assert noted["tenant"] == "default"
    assert noted["entry"] == {name: kept[name] for name in noted["entry"]}
    assert noted["entry"]["object"] == KEY["name"]
