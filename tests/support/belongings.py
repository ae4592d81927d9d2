"""
What a tenant can own, one object of each kind, and a request for every route that could reach it.

A route without a row here fails tests/integration/server/test_every_route.py: whoever adds a route
says what of it belongs to somebody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx2

from internal.git.model import Changes, Diff
from internal.ids import random_token
from internal.task.diffstore import pack
from internal.task.model import Failure, Outcome, Reason, Work
from internal.task.ops import OpKind
from internal.task.queue import Lane
from tests.support.queue_lab import published
from tests.support.service import KEYS, Service, body, completed
from tests.support.shut_gate import shut_gate


class Reach(StrEnum):
    """What a request is about, which decides what another tenant gets."""

    ONE = "names one object: 404"
    MANY = "lists objects: 200, and none of them is in it"
    NEW = "makes an object: of the caller's own tenant"
    ALL = "is about the deployment: the same for everybody"


@dataclass(frozen=True)
class Row:
    """A good request of the owner. Braces in `path` name a member of the belongings."""

    reach: Reach
    path: str
    body: Mapping[str, Any] | None = None


KEY = {"name": "key", "provider": "github", "token": "ghp_" + "a1B2" * 9}
MCP = {"name": "mcp", "package": "@example/mcp"}
HOOK = {"url": "https://hooks.example/x"}
HOLD = "hold:repo:owner:r"
"""A gate of the tenant `owner`."""

ROWS: Mapping[tuple[str, str], Row] = {
    ("POST", "/tasks"): Row(Reach.NEW, "/tasks", body()),
    ("GET", "/tasks"): Row(Reach.MANY, "/tasks"),
    ("GET", "/tasks/{task_id}"): Row(Reach.ONE, "/tasks/{task}"),
    ("GET", "/tasks/{task_id}/stream"): Row(Reach.ONE, "/tasks/{task}/stream"),
    ("GET", "/tasks/{task_id}/events"): Row(Reach.ONE, "/tasks/{task}/events"),
    ("GET", "/tasks/{task_id}/diff"): Row(Reach.ONE, "/tasks/{task}/diff"),
    ("POST", "/tasks/{task_id}/retry"): Row(Reach.ONE, "/tasks/{task}/retry"),
    ("POST", "/tasks/{task_id}/instruct"): Row(
        Reach.ONE, "/tasks/{task}/instruct", {"prompt": "Go on"}
    ),
    ("GET", "/tasks/{task_id}/pr"): Row(Reach.ONE, "/tasks/{task}/pr"),
    ("POST", "/tasks/{task_id}/create-pr"): Row(Reach.ONE, "/tasks/{task}/create-pr"),
    ("POST", "/tasks/{task_id}/directive"): Row(
        Reach.ONE, "/tasks/{task}/directive", {"text": "Mind the tests"}
    ),
    ("POST", "/tasks/{task_id}/pause"): Row(Reach.ONE, "/tasks/{task}/pause"),
    ("POST", "/tasks/{task_id}/resume"): Row(Reach.ONE, "/tasks/{task}/resume"),
    ("POST", "/tasks/{task_id}/cancel"): Row(Reach.ONE, "/tasks/{task}/cancel"),
    ("POST", "/keys"): Row(Reach.NEW, "/keys", KEY | {"name": "another"}),
    ("GET", "/keys"): Row(Reach.MANY, "/keys"),
    ("GET", "/keys/{name}"): Row(Reach.ONE, "/keys/{key}"),
    ("GET", "/keys/{name}/verify"): Row(Reach.ONE, "/keys/{key}/verify"),
    ("DELETE", "/keys/{name}"): Row(Reach.ONE, "/keys/{key}"),
    ("POST", "/tokens"): Row(Reach.NEW, "/tokens", {"name": "another", "scopes": ["read"]}),
    ("GET", "/tokens"): Row(Reach.MANY, "/tokens"),
    ("DELETE", "/tokens/{name}"): Row(Reach.ONE, "/tokens/{token}"),
    ("GET", "/audit"): Row(Reach.MANY, "/audit"),
    ("GET", "/control"): Row(Reach.MANY, "/control"),
    ("POST", "/control/release"): Row(Reach.ONE, "/control/release", {"scope": HOLD}),
    ("POST", "/mcp/servers"): Row(Reach.NEW, "/mcp/servers", MCP | {"name": "another"}),
    ("GET", "/mcp/servers"): Row(Reach.MANY, "/mcp/servers"),
    ("DELETE", "/mcp/servers/{name}"): Row(Reach.ONE, "/mcp/servers/{mcp}"),
    ("GET", "/workspaces"): Row(Reach.MANY, "/workspaces"),
    ("DELETE", "/workspaces/{task_id}"): Row(Reach.ONE, "/workspaces/{task}"),
    ("POST", "/webhooks/endpoints"): Row(Reach.NEW, "/webhooks/endpoints", HOOK),
    ("GET", "/webhooks/endpoints"): Row(Reach.MANY, "/webhooks/endpoints"),
    ("GET", "/webhooks/endpoints/{id}"): Row(Reach.ONE, "/webhooks/endpoints/{hook}"),
    ("PATCH", "/webhooks/endpoints/{id}"): Row(
        Reach.ONE, "/webhooks/endpoints/{hook}", {"description": "mine"}
    ),
    ("POST", "/webhooks/endpoints/{id}/rotate-secret"): Row(
        Reach.ONE, "/webhooks/endpoints/{hook}/rotate-secret"
    ),
    ("POST", "/webhooks/endpoints/{id}/test"): Row(Reach.ONE, "/webhooks/endpoints/{hook}/test"),
    ("GET", "/dead-letters"): Row(Reach.MANY, "/dead-letters"),
    ("POST", "/dead-letters/{id}/requeue"): Row(Reach.ONE, "/dead-letters/{letter}/requeue"),
    ("DELETE", "/dead-letters/{id}"): Row(Reach.ONE, "/dead-letters/{unread}"),
    ("POST", "/dead-letters/requeue"): Row(Reach.MANY, "/dead-letters/requeue", {"limit": 1}),
    ("DELETE", "/dead-letters"): Row(Reach.MANY, "/dead-letters?limit=1"),
    ("GET", "/webhooks/deliveries"): Row(Reach.MANY, "/webhooks/deliveries"),
    ("POST", "/webhooks/deliveries/{id}/redeliver"): Row(
        Reach.ONE, "/webhooks/deliveries/{delivery}/redeliver"
    ),
    ("DELETE", "/webhooks/endpoints/{id}"): Row(Reach.ONE, "/webhooks/endpoints/{hook}"),
    ("DELETE", "/tasks/{task_id}"): Row(Reach.ONE, "/tasks/{task}"),
    ("GET", "/agents"): Row(Reach.ALL, "/agents"),
    ("GET", "/workers"): Row(Reach.ALL, "/workers"),
    ("GET", "/stats"): Row(Reach.ALL, "/stats"),
}
"""By method and template, in an order in which the owner can send all of them."""


@dataclass(frozen=True)
class Belongings:
    """Names of one object of each kind, as `Row.path` has them."""

    task: str
    hook: str
    delivery: str
    letter: str
    unread: str
    newest_letter: str
    oldest_letter: str
    key: str = "key-of-the-owner"
    token: str = "token-of-the-owner"  # noqa: S105 -- a name
    mcp: str = "mcp-of-the-owner"
    gate: str = HOLD

    def names(self) -> Mapping[str, str]:
        return dict(vars(self))


async def own(service: Service, client: httpx2.AsyncClient) -> Belongings:
    """
    Make all of it as the owner of *client*; the task has work and a pull request.

    The server must not wait for pull requests (`pr_wait_seconds` 0): the worker is here.
    """
    hook = await _make(client, "/webhooks/endpoints", HOOK)
    task = await _make(client, "/tasks", body())
    diff = Diff(base="a" * 40, head="b" * 40, files=(), changes=Changes(), patch=b"")
    work = Work(commit="b" * 40, claim="c", home="home")
    outcome = completed(work=work, stored_diff=pack(diff)[0])
    await service.finish(await service.claim(), outcome)
    asked = await client.post(f"/api/v1/tasks/{task['id']}/create-pr")
    assert asked.status_code == 202, asked.text
    await service.queue.finish_pr(
        await service.claim(Lane.PUBLISH, run=False), published(), random_token()
    )
    delivered = (await client.get("/api/v1/webhooks/deliveries")).json()["deliveries"]
    letters = [await _die(service, client) for _ in range(4)]
    owned = Belongings(task["id"], hook["id"], delivered[0]["id"], *letters)
    await _make(client, "/keys", KEY | {"name": owned.key})
    await _make(client, "/tokens", {"name": owned.token, "scopes": ["read"]})
    await _make(client, "/mcp/servers", MCP | {"name": owned.mcp})
    await shut_gate(service.redis, KEYS, HOLD)
    return owned


async def _die(service: Service, client: httpx2.AsyncClient) -> str:
    """A task whose repeats are used up; its id."""
    task: str = (await _make(client, "/tasks", body()))["id"]
    failure = Failure(reason=Reason.RATE_LIMITED, message="slow down", retryable=True)
    await service.finish(await service.claim(), Outcome(failure=failure, exhausted=True))
    return task


@asynccontextmanager
async def home_of(service: Service, tenant: str, task: str) -> AsyncGenerator[None]:
    """A home that has one workspace, of this task; its worker answers what a server asks."""
    ops = service.deps.ops
    await service.queue.register("worker", "home", {})

    async def answer() -> None:
        while True:
            op = await ops.take("home")
            await service.queue.register("worker", "home", {})
            if op is not None:
                is_owner = op.args["tenant"] == tenant
                await ops.answer(op, _answers(task, is_owner=is_owner)[op.kind])

    answering = asyncio.create_task(answer())
    try:
        yield
    finally:
        answering.cancel()


def _answers(task: str, *, is_owner: bool) -> Mapping[OpKind, Mapping[str, Any]]:
    """By the tenant that is asked for, as a worker looks only at what lies under its name."""
    row = {"task": task, "bytes": 1, "created_at": 0.0, "used_at": 0.0, "expires_at": 0.0}
    return {
        OpKind.LIST_WORKSPACES: {"workspaces": [row] if is_owner else []},
        OpKind.DELETE_WORKSPACE: {"found": is_owner, "in_use": False},
        OpKind.READ_PR: {"number": 1, "url": "https://x/1", "state": "open", "branch": "b"},
        OpKind.VERIFY_KEY: {"ok": True, "reason": None},
    }


async def _make(client: httpx2.AsyncClient, path: str, request: Mapping[str, Any]) -> Any:
    answer = await client.post(f"/api/v1{path}", json=request)
    assert answer.status_code == 201, answer.text
    return answer.json()
