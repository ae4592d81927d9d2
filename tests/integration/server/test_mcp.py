"""MCP servers over HTTP; every answer is held against api/openapi.yaml by the client."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.support.service import KEYS, Service, body
from tests.support.world import World

SERVERS = "/api/v1/mcp/servers"
SECRET = "s3cr3t-value-0123456789"  # noqa: S105 -- nothing is behind it
PROGRAM = {"name": "probe", "command": "python3", "args": ["-m", "x"], "env": {"TOKEN": SECRET}}
REMOTE = {"name": "far", "url": "https://mcp.example.com/v1", "headers": {"X-Key": SECRET}}


async def test_the_first_version_s_bodies_work(client: httpx2.AsyncClient) -> None:
    """201, a listing that has the name, 200."""
    sent = {"name": "test-mcp-1", "package": "@test/mcp-server", "args": ["--port", "3000"]}

    made = await client.post(SERVERS, json=sent)
    listed = await client.get(SERVERS)
    removed = await client.delete(f"{SERVERS}/test-mcp-1")

    assert (made.status_code, listed.status_code, removed.status_code) == (201, 200, 200)
    assert made.json()["name"] == "test-mcp-1"
    (row,) = listed.json()["servers"]
    assert row.items() >= sent.items()
    assert row["created_at"].endswith("Z")
    assert (await client.delete(f"{SERVERS}/test-mcp-1")).status_code == 404


async def test_a_name_is_taken_until_it_is_removed(client: httpx2.AsyncClient) -> None:
    """409 then."""
    await client.post(SERVERS, json=PROGRAM)

    assert (await client.post(SERVERS, json=PROGRAM)).status_code == 409

    await client.delete(f"{SERVERS}/probe")
    assert (await client.post(SERVERS, json=PROGRAM)).status_code == 201


async def test_a_project_is_its_repository_however_it_is_written(
    client: httpx2.AsyncClient,
) -> None:
    """With or without `.git`, capitals in the host or its port; the tenant's list is another."""
    params = {"project": "https://GitHub.com:443/o/r.git"}
    await client.post(SERVERS, json=PROGRAM, params=params)

    same = await client.get(SERVERS, params={"project": "https://github.com/o/r"})

    assert [row["name"] for row in same.json()["servers"]] == ["probe"]
    assert (await client.get(SERVERS)).json() == {"servers": []}
    assert (await client.delete(f"{SERVERS}/probe")).status_code == 404
    assert (await client.delete(f"{SERVERS}/probe", params=params)).status_code == 200


@pytest.mark.parametrize("project", ["", "nonsense", "https://u:p@github.com/o/r"])
async def test_a_project_is_the_url_of_a_repository(
    client: httpx2.AsyncClient, project: str
) -> None:
    """Anything else is refused, on every route."""
    for answer in (
        await client.get(SERVERS, params={"project": project}),
        await client.post(SERVERS, json=PROGRAM, params={"project": project}),
        await client.delete(f"{SERVERS}/probe", params={"project": project}),
    ):
        assert answer.status_code == 400
        assert "project" in answer.json()["fields"]


async def test_fault_b7_no_answer_shows_a_value(
    client: httpx2.AsyncClient, service: Service
) -> None:
    """Not of a registered server, not of a task's own; not in Redis either."""
    made = [await client.post(SERVERS, json=server) for server in (PROGRAM, REMOTE)]
    task = await client.post("/api/v1/tasks", json=body(config={"mcp_servers": [PROGRAM, REMOTE]}))
    answers = [
        *made,
        task,
        await client.get(SERVERS),
        await client.get(f"/api/v1/tasks/{task.json()['id']}"),
        await client.get("/api/v1/tasks"),
    ]

    assert all(SECRET not in answer.text for answer in answers)
    assert answers[4].json()["config"]["mcp_servers"] == [
        {
            "name": "probe",
            "command": "python3",
            "args": ["-m", "x"],
            "env_names": ["TOKEN"],
        },
        {"name": "far", "url": "https://mcp.example.com/v1", "header_names": ["X-Key"]},
    ]
    world = await World.read(service.redis, KEYS)
    assert world.values
    assert SECRET not in str(world.values)
    await service.finish(await service.claim())


async def test_a_task_s_servers_reach_its_claim_sealed(
    client: httpx2.AsyncClient, service: Service
) -> None:
    """One record, for the worker to open."""
    await client.post("/api/v1/tasks", json=body(config={"mcp_servers": [PROGRAM]}))

    claim = await service.claim()

    assert claim.mcp_servers is not None
    assert SECRET not in claim.mcp_servers
    await service.finish(claim)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"command": "x"}, "name"),
    ({"name": "a b", "command": "x"}, "name"),
    ({"name": "x" * 65, "command": "x"}, "name"),
    ({"name": "a"}, "url"),
    ({"name": "a", "command": "x", "package": "y"}, "url"),
    ({"name": "a", "command": "x", "url": "https://e.com"}, "url"),
    ({"name": "a", "url": "ftp://e.com"}, "url"),
    ({"name": "a", "url": "https://u:p@e.com"}, "url"),
    ({"name": "a", "url": "https://e.com", "args": ["x"]}, "url"),
    ({"name": "a", "command": "x", "headers": {"A": "b"}}, "url"),
    ({"name": "a", "package": "--evil"}, "package"),
    ({"name": "a", "package": "a b"}, "package"),
    ({"name": "a", "command": "-c"}, "command"),
    ({"name": "a", "command": "x", "args": "y"}, "args"),
    ({"name": "a", "command": "x", "args": ["a\0"]}, "args[0]"),
    ({"name": "a", "command": "x", "args": ["a"] * 65}, "args"),
    ({"name": "a", "command": "x", "env": {"A=B": "c"}}, "env"),
    ({"name": "a", "command": "x", "env": {"CODEFORGE_RUN": "c"}}, "env"),
    ({"name": "a", "command": "x", "env": {"A": 1}}, "env.A"),
    ({"name": "a", "command": "x", "env": {"A": "line\n" * 65, "B": "line\n" * 64}}, "env"),
    ({"name": "a", "url": "https://e.com", "headers": {"A B": "c"}}, "headers"),
    ({"name": "a", "url": "https://e.com", "headers": {"A": "b\r\nC: d"}}, "headers.A"),
    ({"name": "a", "command": "x", "token": "y"}, "token"),
]


@pytest.mark.parametrize(("server", "field"), BAD)
async def test_what_is_wrong_with_a_server_is_named(
    client: httpx2.AsyncClient, server: dict[str, Any], field: str
) -> None:
    """Alone, and in a task's config by its path."""
    alone = await client.post(SERVERS, json=server)
    inside = await client.post("/api/v1/tasks", json=body(config={"mcp_servers": [server]}))

    assert (alone.status_code, inside.status_code) == (400, 400)
    assert list(alone.json()["fields"]) == [field]
    assert list(inside.json()["fields"]) == [f"config.mcp_servers[0].{field}"]


async def test_two_servers_of_a_task_have_two_names(client: httpx2.AsyncClient) -> None:
    """Else one would silently win."""
    answer = await client.post(
        "/api/v1/tasks", json=body(config={"mcp_servers": [PROGRAM, PROGRAM]})
    )

    assert answer.json()["fields"] == {
        "config.mcp_servers": "must not have two servers of one name"
    }
