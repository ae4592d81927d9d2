"""Registered keys over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from internal.access.resolver import CONFIGURED
from internal.keys.model import KeyProvider, NewKey
from internal.task.ops import OpKind
from tests.support.service import KEYS, Service, body

CANARY = "ghp_canary0123456789ABCDEFx7Qd"


def new_key(**members: Any) -> dict[str, Any]:
    return {"name": "ci", "provider": "github", "token": CANARY, **members}


async def test_a_key_is_made_listed_read_and_erased(client: httpx2.AsyncClient) -> None:
    """
    As clients of version A do it: 201, a list without values, 200; and one by its name.
    """
    made = await client.post("/api/v1/keys", json=new_key())
    listed = await client.get("/api/v1/keys")
    one = await client.get("/api/v1/keys/ci")
    erased = await client.delete("/api/v1/keys/ci")
    again = await client.delete("/api/v1/keys/ci")

    assert [answer.status_code for answer in (made, listed, one, erased, again)] == [
        *(201, 200, 200, 200, 404)
    ]
    assert {"name": "ci", "provider": "github"}.items() <= made.json().items()
    assert listed.json()["keys"] == [one.json()]
    assert one.json()["hint"] == "…x7Qd"
    assert one.json()["last_used_at"] is None
    assert "token" not in one.json()
    assert "message" in erased.json()


async def test_a_name_is_given_once(client: httpx2.AsyncClient) -> None:
    """
    Also by another provider, so a name in a path or a task is never ambiguous.
    """
    await client.post("/api/v1/keys", json=new_key())

    second = await client.post("/api/v1/keys", json=new_key(provider="gitlab"))

    assert second.status_code == 409


async def test_fault_a31_names_that_are_special_elsewhere_are_names(
    client: httpx2.AsyncClient,
) -> None:
    """
    A key may have the name of an index or of a part of another key; the others are as before.
    """
    names = ["_index", "keys", "deleted", "ci"]
    for name in names:
        assert (await client.post("/api/v1/keys", json=new_key(name=name))).status_code == 201

    listed = (await client.get("/api/v1/keys")).json()["keys"]

    assert {key["name"] for key in listed} == set(names)
    for name in names:
        assert (await client.delete(f"/api/v1/keys/{name}")).status_code == 200


@pytest.mark.parametrize(
    ("members", "field", "says"),
    [
        ({"name": "a b"}, "name", "letters, digits"),
        ({"name": ""}, "name", "letters, digits"),
        ({"provider": "svn"}, "provider", "must be one of github"),
        ({"token": ""}, "token", "printable"),
        ({"token": None}, "token", "must be a string"),
        ({"token": f"{CANARY}\n"}, "token", "printable"),
        ({"token": CANARY * 200}, "token", "4096"),
        ({"base_url": "ftp://git.example.com"}, "base_url", "http"),
        ({"base_url": f"https://u:{CANARY}@git.example.com"}, "base_url", "password"),
        ({"base_url": "https://b\u00fccher.example.com"}, "base_url", "xn--"),
        ({"base_url": "https://git.example.com/?a=b"}, "base_url", "query"),
        ({"provider": "gitea"}, "base_url", "is required"),
        ({"provider": "generic", "base_url": ""}, "base_url", "is required"),
        ({"scope": ["everything"]}, "scope", "owner/name"),
        ({"scope": ["a/b"] * 65}, "scope", "at most 64"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at", "future"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at", "RFC 3339"),
        ({"value": CANARY}, "value", "not a known field"),
    ],
)
async def test_a_bad_key_is_refused_without_its_value(
    client: httpx2.AsyncClient, members: dict[str, Any], field: str, says: str
) -> None:
    """
    Each complaint names the member, and none repeats what could be a secret.
    """
    with capture_logs() as logs:
        answer = await client.post("/api/v1/keys", json=new_key(**members))

    assert answer.status_code == 400
    assert says in answer.json()["fields"][field]
    assert CANARY not in answer.text
    assert CANARY not in str(logs)


async def test_what_a_key_can_say(client: httpx2.AsyncClient) -> None:
    """
    Its place, its repositories and its end come back; a scope may be one text, as in version A.
    """
    members = {
        "provider": "gitea",
        "base_url": "http://git.example.com:3000/",
        "scope": "team/repo, group/*",
        "expires_at": "2099-01-01T01:00:00+01:00",
    }

    made = (await client.post("/api/v1/keys", json=new_key(**members))).json()

    assert made["base_url"] == "http://git.example.com:3000"
    assert made["scope"] == ["team/repo", "group/*"]
    assert made["expires_at"] == "2099-01-01T00:00:00.000Z"


async def test_fault_b7_a_value_never_comes_back(
    client: httpx2.AsyncClient, redis_client: Redis
) -> None:
    """
    No answer, no log line and nothing in Redis has it in clear.
    """
    with capture_logs() as logs:
        answers = [
            await client.post("/api/v1/keys", json=new_key()),
            await client.post("/api/v1/keys", json=new_key()),
            await client.get("/api/v1/keys"),
            await client.get("/api/v1/keys/ci"),
            await client.get("/api/v1/keys/ci/verify"),
            await client.get("/api/v1/audit"),
        ]

    stored = [await redis_client.hgetall(KEYS.registered_key("default", "ci"))]
    assert CANARY not in str([answer.text for answer in answers])
    assert CANARY not in str(logs)
    assert CANARY not in str(stored)


async def test_fault_b6_another_tenants_key_is_none(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    It is not listed, not read, not verified, not erased, and no task may name it.
    """
    new = NewKey(name="theirs", provider=KeyProvider.GITHUB)
    await service.deps.keys.create("other", new, CANARY)
    task = body(repo_url="https://github.com/team/repo", provider_key="theirs")

    assert (await client.get("/api/v1/keys")).json() == {"keys": []}
    for method, path in (("GET", ""), ("GET", "/verify"), ("DELETE", "")):
        assert (await client.request(method, f"/api/v1/keys/theirs{path}")).status_code == 404
    assert (await client.post("/api/v1/tasks", json=task)).status_code == 400
    assert (await service.deps.keys.get("other", "theirs")).name == "theirs"


@pytest.mark.live_keys
@pytest.mark.parametrize(
    ("repo_url", "says"),
    [
        ("https://github.com/team/repo", None),
        ("git@github.com:team/repo.git", None),
        ("https://github.com/other/repo", "may not be used for this repository"),
        ("https://gitlab.com/team/repo", "not for https://gitlab.com"),
        ("http://github.com/team/repo", "over https"),
    ],
)
async def test_a_task_names_a_key_that_fits(
    client: httpx2.AsyncClient, repo_url: str, says: str | None
) -> None:
    """
    Name, place, repositories and end are judged when the task is submitted; the task tells it.
    """
    await client.post("/api/v1/keys", json=new_key(scope=["team/*"]))

    answer = await client.post("/api/v1/tasks", json=body(repo_url=repo_url, provider_key="ci"))

    if says is None:
        assert answer.status_code == 201
        task = (await client.get(f"/api/v1/tasks/{answer.json()['id']}")).json()
        assert task["provider_key"] == "ci"
    else:
        assert answer.status_code == 400
        assert says in answer.json()["fields"]["provider_key"]


@pytest.mark.live_keys
async def test_a_repeat_gets_its_task_although_the_key_is_gone(client: httpx2.AsyncClient) -> None:
    """
    What the first call made is told; another body, another Idempotency-Key and a task that was
    deleted are judged as ever.
    """
    await client.post("/api/v1/keys", json=new_key(scope=["team/*"]))
    task = body(repo_url="https://github.com/team/repo", provider_key="ci")
    named = {"Idempotency-Key": "once"}
    first = await client.post("/api/v1/tasks", json=task, headers=named)
    await client.delete("/api/v1/keys/ci")

    again = await client.post("/api/v1/tasks", json=task, headers=named)
    other = await client.post("/api/v1/tasks", json={**task, "prompt": "x"}, headers=named)
    new = await client.post("/api/v1/tasks", json=task, headers={"Idempotency-Key": "twice"})
    await client.post(f"/api/v1/tasks/{first.json()['id']}/cancel")
    await client.delete(f"/api/v1/tasks/{first.json()['id']}")
    gone = await client.post("/api/v1/tasks", json=task, headers=named)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert (other.status_code, new.status_code, gone.status_code) == (409, 400, 409)
    assert other.json()["error"] == gone.json()["error"] == "idempotency_conflict"


async def test_an_unknown_key_is_refused_by_name(client: httpx2.AsyncClient) -> None:
    """
    The request is wrong, so there is no task that could fail.
    """
    answer = await client.post("/api/v1/tasks", json=body(provider_key="none"))

    assert answer.status_code == 400
    assert answer.json()["fields"] == {"provider_key": "There is no key named none."}


async def test_a_worker_is_asked_to_verify(service: Service, client: httpx2.AsyncClient) -> None:
    """
    The server hands the question on, without the value, and the answer back.
    """
    await client.post("/api/v1/keys", json=new_key())
    await service.queue.register("worker", "home", {})
    asking = asyncio.create_task(client.get("/api/v1/keys/ci/verify"))

    op = None
    while op is None:
        op = await service.deps.ops.take("home")
    await service.deps.ops.answer(op, {"ok": False, "reason": "refused"})
    answer = await asking

    assert (op.kind, dict(op.args)) == (OpKind.VERIFY_KEY, {"tenant": "default", "name": "ci"})
    assert answer.json() == {"name": "ci", "ok": False, "reason": "refused"}


async def test_without_a_worker_nobody_verifies(client: httpx2.AsyncClient) -> None:
    """
    503 at once; a key that is not there is 404 all the same.
    """
    await client.post("/api/v1/keys", json=new_key())

    asked = await client.get("/api/v1/keys/ci/verify")
    missing = await client.get("/api/v1/keys/none/verify")

    assert asked.status_code == 503
    assert missing.status_code == 404


async def test_a_huge_body_is_refused_before_it_is_read(client: httpx2.AsyncClient) -> None:
    """
    Five megabytes of token are no token.
    """
    content = json.dumps(new_key(token="x" * 5_000_000)).encode()
    headers = {"Content-Type": "application/json"}

    answer = await client.post("/api/v1/keys", content=content, headers=headers)

    assert answer.status_code == 413


@pytest.mark.live_keys
async def test_fault_b6_only_the_operators_tenant_may_name_a_repository_by_ssh(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    There are no ssh keys but the operator's, which open whatever is the operator's.
    """
    made = await service.deps.tokens.make(CONFIGURED, "t", frozenset({"tasks"}), tenant="other")
    for url in ("git@github.com:o/r", "ssh://git@github.com/o/r"):
        async with service.client(made.text) as other:
            refused = await other.post("/api/v1/tasks", json=body(repo_url=url))
        taken = await client.post("/api/v1/tasks", json=body(repo_url=url))

        assert (refused.status_code, taken.status_code) == (400, 201)
        assert "operator's own keys" in refused.json()["fields"]["repo_url"]
