"""Tokens over HTTP: made, shown once, listed, used, revoked."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis

from internal.clock import rfc3339
from internal.crypto.bearer import is_well_formed, make_token
from tests.support.service import Service, body, open_service

pytestmark = pytest.mark.live_keys

TOKENS = "/api/v1/tokens"


async def make(client: httpx2.AsyncClient, name: str = "ci", **members: Any) -> str:
    answer = await client.post(TOKENS, json={"name": name, "scopes": ["tasks"], **members})
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["token"]
    return token


async def test_a_token_is_shown_once(client: httpx2.AsyncClient) -> None:
    """
    In the answer that made it, which no cache keeps; a list has all but the text.
    """
    soon = rfc3339(datetime.now(UTC) + timedelta(days=30))
    made = await client.post(
        TOKENS, json={"name": "ci", "scopes": ["tasks"], "expires_at": soon, "tenant": None}
    )
    listed = await client.get(TOKENS)

    document = made.json()
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    token = document.pop("token")
    assert is_well_formed(token)
    assert listed.json() == {"tokens": [document]}
    assert document["scopes"] == ["read", "tasks"]
    assert (document["tenant"], document["created_by"]) == ("default", "server.auth_token")
    assert document["expires_at"] == soon
    assert token not in listed.text


async def test_a_token_works_until_it_is_revoked(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    In either header.
    """
    token = await make(client)
    async with service.client(token) as mine:
        before = await mine.get("/api/v1/tasks")
        alias = await mine.get("/api/v1/tasks", headers={"X-API-Key": token})

        revoked = await client.delete(f"{TOKENS}/ci")
        after = await mine.get("/api/v1/tasks")
    again = await client.delete(f"{TOKENS}/ci")

    codes = [one.status_code for one in (before, alias, revoked, after, again)]
    assert codes == [200, 200, 204, 401, 404]


async def test_the_configured_token_cannot_be_revoked(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    It is in the settings, not in Redis; no token can take its name either.
    """
    revoked = await client.delete(f"{TOKENS}/server.auth_token")
    named = await client.post(TOKENS, json={"name": "server.auth_token", "scopes": ["read"]})

    assert (revoked.status_code, named.status_code) == (404, 400)
    assert (await client.get(TOKENS)).status_code == 200


async def test_only_the_operator_makes_tokens_of_other_tenants(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    A tenant's administrator makes and sees its own tenant's.
    """
    boss = await make(client, "boss", scopes=["admin"], tenant="acme")
    async with service.client(boss) as acme:
        mine = await acme.post(TOKENS, json={"name": "ci", "scopes": ["read"]})
        others = [
            await acme.post(TOKENS, json={"name": "x", "scopes": ["read"], "tenant": "other"}),
            await acme.get(f"{TOKENS}?tenant=default"),
            await acme.delete(f"{TOKENS}/boss?tenant=default"),
            await acme.get("/api/v1/audit?tenant=default"),
        ]
        listed = await acme.get(TOKENS)

    assert mine.json()["tenant"] == "acme"
    assert mine.json()["created_by"] == "boss"
    assert {answer.status_code for answer in others} == {403}
    assert [token["name"] for token in listed.json()["tokens"]] == ["boss", "ci"]
    assert (await client.get(TOKENS)).json() == {"tokens": []}
    assert len((await client.get(f"{TOKENS}?tenant=acme")).json()["tokens"]) == 2
    assert (await client.delete(f"{TOKENS}/ci?tenant=acme")).status_code == 204


@pytest.mark.parametrize(
    ("members", "complaints"),
    [
        ({}, {"name": "is required", "scopes": "is required"}),
        (
            {"name": "a b", "scopes": ["read"]},
            {"name": "must be 1 to 64 of A-Z, a-z, 0-9, _ and -"},
        ),
        ({"name": "a", "scopes": []}, {"scopes": "must not be empty"}),
        ({"name": "a", "scopes": "read"}, {"scopes": "must be an array"}),
        (
            {"name": "a", "scopes": ["all"]},
            {"scopes[0]": "must be 'read', 'tasks' or 'admin'"},
        ),
        (
            {"name": "a", "scopes": ["read"], "tenant": "A"},
            {"tenant": "must be the name of a tenant: 1 to 32 of a-z, 0-9 and -"},
        ),
        (
            {"name": "a", "scopes": ["read"], "expires_at": "tomorrow"},
            {"expires_at": "must be a time as in RFC 3339, like 2030-01-31T12:00:00Z"},
        ),
        (
            {"name": "a", "scopes": ["read"], "expires_at": "9999-12-31T23:59:59-12:00"},
            {"expires_at": "must be a time as in RFC 3339, like 2030-01-31T12:00:00Z"},
        ),
        (
            {"name": "a", "scopes": ["read"], "expires_at": 5},
            {"expires_at": "must be a time as in RFC 3339, like 2030-01-31T12:00:00Z"},
        ),
        (
            {"name": "a", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"},
            {"expires_at": "must be in the future"},
        ),
    ],
)
async def test_a_bad_request_for_a_token_is_told_what_is_wrong(
    client: httpx2.AsyncClient, members: dict[str, Any], complaints: dict[str, str]
) -> None:
    """
    By member, as everywhere.
    """
    answer = await client.post(TOKENS, json=members)

    assert answer.status_code == 400
    assert answer.json()["fields"] == complaints


async def test_without_redis_the_configured_token_is_still_known() -> None:
    """
    What needs no Redis works with it; another token cannot be judged, so it is not 401 but 503.
    """
    async with open_service("unix:///nowhere/redis.sock") as service:
        async with service.client() as client:
            refused = await client.post("/api/v1/tasks", json={"prompt": ""})
            docs = await client.get("/api/v1/keys/x/verify?x=1")
        async with service.client(make_token()) as client:
            unknown = await client.post("/api/v1/tasks", json={"prompt": ""})

    assert (refused.status_code, docs.status_code, unknown.status_code) == (400, 400, 503)


async def test_fault_a29_a_token_is_of_one_tenant(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    Not one shared token for everybody: what one tenant submits, another does not see.
    """
    task = (await client.post("/api/v1/tasks", json=body())).json()["id"]
    async with service.client(await make(client, tenant="acme")) as acme:
        theirs = (await acme.post("/api/v1/tasks", json=body())).json()["id"]

        assert (await acme.get(f"/api/v1/tasks/{task}")).status_code == 404
        listed = (await acme.get("/api/v1/tasks")).json()["tasks"]

    assert [one["id"] for one in listed] == [theirs]
    assert (await client.get(f"/api/v1/tasks/{theirs}")).status_code == 404


async def test_fault_a31_a_name_that_looks_like_a_redis_key_stays_a_name(
    client: httpx2.AsyncClient, redis_client: Redis
) -> None:
    """
    No object can stand where an index should be.
    """
    for name in ("_index", "tokens", "-", "a" * 64):
        await make(client, name)
    names = [token["name"] for token in (await client.get(TOKENS)).json()["tokens"]]

    assert names == sorted(["_index", "tokens", "-", "a" * 64])
