"""Registered webhook endpoints and deliveries over HTTP."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from internal.errors import NotFound, PolicyDenied
from internal.server.deps import TaskRules
from internal.webhook.registry import MOST_ENDPOINTS, Change
from tests.support.redis import RedisServer
from tests.support.service import AGENTS, KEYS, Service, body, open_service

pytestmark = pytest.mark.live_keys

API = "/api/v1/webhooks"
URL = "https://hooks.example/x"


async def register(client: httpx2.AsyncClient, **members: Any) -> dict[str, Any]:
    answer = await client.post(f"{API}/endpoints", json={"url": URL, **members})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def deliveries(client: httpx2.AsyncClient, **query: str | int) -> list[dict[str, Any]]:
    answer = await client.get(f"{API}/deliveries", params=query)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["deliveries"]
    return rows


async def finish_a_task(client: httpx2.AsyncClient, service: Service, **members: Any) -> str:
    task = (await client.post("/api/v1/tasks", json=body(**members))).json()["id"]
    await service.finish(await service.claim())
    return str(task)


async def test_a_new_endpoint_shows_its_secret_once(client: httpx2.AsyncClient) -> None:
    """
    201 with a Location; reading and listing never have the secret.
    """
    answer = await client.post(f"{API}/endpoints", json={"url": URL, "description": "chat"})
    made = answer.json()
    read = (await client.get(answer.headers["location"])).json()
    listed = (await client.get(f"{API}/endpoints")).json()["endpoints"]

    assert answer.status_code == 201
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["task.completed", "task.failed", "task.pr_created"]
    assert (made["url"], made["description"], made["enabled"]) == (URL, "chat", True)
    assert read == {name: value for name, value in made.items() if name != "secret"}
    assert listed == [read]


async def test_a_secret_lies_in_redis_encrypted_only(
    client: httpx2.AsyncClient, service: Service
) -> None:
    """
    The given one and the one it is rotated to.
    """
    made = await register(client, secret="canary-of-mine-00")  # noqa: S106
    where = f"{API}/endpoints/{made['id']}/rotate-secret"
    rotated = (await client.post(where)).json()

    record = str(await service.redis.hgetall(KEYS.webhook_endpoint("default", made["id"])))
    assert made["secret"] == "canary-of-mine-00"  # noqa: S105
    assert rotated["secret"] not in {made["secret"], ""}
    assert len(rotated["old_secrets"]) == 1
    assert "canary-of-mine-00" not in record
    assert rotated["secret"] not in record


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"url": "ftp://x/"}, "url"),
        ({"url": "https://user:pw@x/"}, "url"),
        ({"url": 5}, "url"),
        ({"events": []}, "events"),
        ({"events": ["task.deleted"]}, "events[0]"),
        ({"description": "x" * 257}, "description"),
        ({"secret": "whsec_this is no base64"}, "secret"),
        ({"secret": "x" * 4097}, "secret"),
        ({"secret": "too-short"}, "secret"),
        ({"secret": ""}, "secret"),
        ({"enabled": False}, "enabled"),
    ],
)
async def test_a_bad_endpoint_is_refused_by_member(
    client: httpx2.AsyncClient, members: dict[str, Any], field: str
) -> None:
    """
    400 that names it, without repeating a secret.
    """
    answer = await client.post(f"{API}/endpoints", json={"url": URL, **members})

    assert answer.status_code == 400
    assert field in answer.json()["fields"]
    assert "this is no base64" not in answer.text
    assert (await client.get(f"{API}/endpoints")).json() == {"endpoints": []}


async def test_a_private_host_is_refused_at_once(redis_server: RedisServer) -> None:
    """
    Where its name alone tells: when it is registered, and when it is changed.
    """

    def refuse(host: str) -> None:
        if host == "inside":
            raise PolicyDenied("inside is private; see egress.allow")

    rules = TaskRules(agents=AGENTS, default_agent="demo", check_http_host=refuse)
    async with open_service(redis_server.url, rules=rules) as service, service.client() as client:
        made = await register(client)
        answers = [
            await client.post(f"{API}/endpoints", json={"url": "http://inside/"}),
            await client.patch(f"{API}/endpoints/{made['id']}", json={"url": "http://inside/"}),
        ]

        for answer in answers:
            assert answer.status_code == 400
            assert "egress.allow" in answer.json()["fields"]["url"]
        await client.delete(f"{API}/endpoints/{made['id']}")


async def test_an_endpoint_can_be_changed_and_switched(client: httpx2.AsyncClient) -> None:
    """
    Members that are left out stay; switched off it says why and since when.
    """
    made = await register(client)
    where = f"{API}/endpoints/{made['id']}"

    off = await client.patch(where, json={"enabled": False, "description": "paused"})
    chosen = ["task.failed"]
    on = await client.patch(where, json={"enabled": True, "events": chosen, "url": f"{URL}2"})

    assert off.json()["disabled_reason"] == "operator"
    assert off.json()["enabled"] is False
    assert off.json()["disabled_at"].endswith("Z")
    assert (off.json()["url"], off.json()["description"]) == (URL, "paused")
    assert "disabled_reason" not in on.json()
    assert (on.json()["url"], on.json()["events"], on.json()["description"]) == (
        f"{URL}2",
        chosen,
        "paused",
    )


async def test_a_deleted_endpoint_is_gone(client: httpx2.AsyncClient) -> None:
    """
    204, then 404 for everything, the second DELETE included.
    """
    made = await register(client)
    where = f"{API}/endpoints/{made['id']}"

    assert (await client.delete(where)).status_code == 204

    calls = [
        client.get(where),
        client.patch(where, json={"enabled": True}),
        client.delete(where),
        client.post(f"{where}/rotate-secret"),
        client.post(f"{where}/test"),
        client.get(f"{API}/endpoints/unknown"),
        client.post(f"{API}/deliveries/evt_none_1/redeliver"),
        client.post(f"{API}/deliveries/no-id/redeliver"),
    ]
    for call in calls:
        assert (await call).status_code == 404


async def test_a_tenant_has_at_most_twenty_endpoints(client: httpx2.AsyncClient) -> None:
    """
    The script that ends a run writes one delivery for each, so their number is bounded.
    """
    for _ in range(MOST_ENDPOINTS):
        await register(client)

    answer = await client.post(f"{API}/endpoints", json={"url": URL})

    assert answer.status_code == 409
    assert len((await client.get(f"{API}/endpoints")).json()["endpoints"]) == MOST_ENDPOINTS


async def test_rotating_keeps_ten_old_secrets(client: httpx2.AsyncClient) -> None:
    """
    Each is valid for a day; the oldest goes when there are more.
    """
    made = await register(client)

    for _ in range(13):
        await client.post(f"{API}/endpoints/{made['id']}/rotate-secret")

    read = (await client.get(f"{API}/endpoints/{made['id']}")).json()
    assert len(read["old_secrets"]) == 10


async def test_deliveries_tell_what_is_to_be_sent(
    client: httpx2.AsyncClient, service: Service
) -> None:
    """
    One row for the callback_url and one for each endpoint, of one event; by task and by status.
    """
    endpoint = await register(client)
    task = await finish_a_task(client, service, callback_url="https://call.back/1")
    await finish_a_task(client, service)

    rows = await deliveries(client, task_id=task)

    assert [(row.get("endpoint_id"), row["url"]) for row in rows] == [
        (endpoint["id"], URL),
        (None, "https://call.back/1"),
    ]
    assert len({row["event_id"] for row in rows}) == 1
    assert {(row["event"], row["status"]) for row in rows} == {("task.completed", "pending")}
    assert all(row["attempts"] == [] and "next_attempt_at" in row for row in rows)
    assert len(await deliveries(client)) == 3
    assert await deliveries(client, status="failed") == []


async def test_deliveries_come_in_pages(client: httpx2.AsyncClient, service: Service) -> None:
    """
    Newest first, each once, also when several have the same time.
    """
    for _ in range(3):
        await register(client)
    for _ in range(3):
        await finish_a_task(client, service)
    everything = await deliveries(client)

    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(f"{API}/deliveries", params=query)).json()
        seen += [row["id"] for row in page["deliveries"]]
        cursor = page["next_cursor"]

    assert len(everything) == 9
    assert seen == [row["id"] for row in everything]
    assert len(set(seen)) == 9


@pytest.mark.parametrize("query", ["status=gone", "limit=0", "cursor=1.x", "what=1"])
async def test_a_bad_query_is_refused(client: httpx2.AsyncClient, query: str) -> None:
    """
    400, by name.
    """
    answer = await client.get(f"{API}/deliveries?{query}")

    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["fields"]


async def test_a_deleted_task_takes_its_deliveries_along(
    client: httpx2.AsyncClient, service: Service
) -> None:
    """
    Nothing of it can be listed or sent again.
    """
    await register(client)
    task = await finish_a_task(client, service)
    (row,) = await deliveries(client)

    assert (await client.delete(f"/api/v1/tasks/{task}")).status_code == 204

    assert await deliveries(client) == []
    again = await client.post(f"{API}/deliveries/{row['id']}/redeliver")
    assert again.status_code == 404


async def test_a_test_event_is_a_delivery_like_any_other(client: httpx2.AsyncClient) -> None:
    """
    202 with its id; an endpoint that is off takes none.
    """
    made = await register(client)
    where = f"{API}/endpoints/{made['id']}"

    answer = await client.post(f"{where}/test")
    (row,) = await deliveries(client)
    await client.patch(where, json={"enabled": False})
    refused = await client.post(f"{where}/test")

    assert answer.status_code == 202
    assert (row["id"], row["event"]) == (answer.json()["delivery_id"], "webhook.test")
    assert refused.status_code == 409


async def test_what_was_done_is_in_the_audit_log(
    client: httpx2.AsyncClient, service: Service
) -> None:
    """
    Who registered, changed, rotated and removed what; no secret.
    """
    made = await register(client, secret="canary-of-mine-00")  # noqa: S106
    where = f"{API}/endpoints/{made['id']}"
    await client.patch(where, json={"description": "x"})
    await client.post(f"{where}/rotate-secret")
    await client.delete(where)

    entries = await service.deps.audit.list("default", limit=10)

    assert [entry.action for entry in reversed(entries)] == [
        "webhook.create",
        "webhook.change",
        "webhook.rotate_secret",
        "webhook.delete",
    ]
    assert {entry.object for entry in entries} == {made["id"]}
    assert "canary" not in repr(entries)


async def test_endpoints_and_deliveries_of_another_tenant_do_not_exist(
    client: httpx2.AsyncClient, service: Service
) -> None:
    """
    Neither reading, changing, rotating, removing, trying nor sending again reaches them.
    """
    made = await register(client)
    await finish_a_task(client, service)
    (row,) = await deliveries(client)
    registry, log = service.deps.webhooks, service.deps.deliveries

    assert list(await registry.list("other")) == []
    assert (await log.list("other", limit=10)).deliveries == ()
    assert (await log.list("other", limit=10, task=row["task_id"])).deliveries == ()
    for call in (
        registry.get("other", made["id"]),
        registry.change("other", made["id"], Change(enabled=False)),
        registry.rotate("other", made["id"]),
        registry.delete("other", made["id"]),
        registry.send_test("other", made["id"]),
        log.redeliver("other", row["id"]),
    ):
        with pytest.raises(NotFound):
            await call
    assert (await client.get(f"{API}/endpoints/{made['id']}")).json()["enabled"] is True
