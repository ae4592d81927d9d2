"""
One server process' parts on a test Redis: the application, its hub, and a worker of our own.

The worker is the real queue driven by the test, so a task goes through its life without an agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import httpx2
from redis.asyncio import Redis
from starlette.types import ASGIApp

from internal.access.audit import AuditLog
from internal.access.registry import TokenRegistry
from internal.access.resolver import TokenResolver
from internal.access.store import TokenStore
from internal.agent.model import Capabilities, Usage
from internal.clock import SystemClock
from internal.control.policy import SettingsPolicy
from internal.control.pressure import Pressure, pressure
from internal.control.rate import RateLimiter
from internal.crypto.box import Box
from internal.git.model import Changes
from internal.ids import random_token
from internal.keys.registry import KeyRegistry
from internal.keys.store import KeyStore
from internal.mcp.registry import McpRegistry
from internal.mcp.store import McpStore
from internal.rdb.client import connect
from internal.rdb.keys import Keys
from internal.server.app import create_app
from internal.server.deps import KnownAgent, ServerDeps, TaskRules
from internal.server.pressure import PressureGauge
from internal.server.serve import listen, serve
from internal.server.workers import Workers
from internal.task.breakers import Breakers
from internal.task.daybudgets import DayBudgets
from internal.task.escalations import Escalations
from internal.task.event import NewEvent, new_event
from internal.task.eventlog import EventLog
from internal.task.gatekeeper import Gatekeeper
from internal.task.hub import Hub
from internal.task.letters import DeadLetters
from internal.task.model import Claim, Failure, Outcome
from internal.task.ops import Ops
from internal.task.publishing import Publishing
from internal.task.queue import Lane, TaskQueue
from internal.task.service import TaskService
from internal.task.state import State
from internal.task.store import TaskStore
from internal.webhook.deliveries import DeliveryLog
from internal.webhook.registry import EndpointRegistry
from internal.webhook.secrets import SigningSecrets
from internal.webhook.store import WebhookStore
from tests.support.openapi import check_answer, check_request

TOKEN = "a-token-of-the-tests"  # noqa: S105
KEYS = Keys("test:")
REPO = "https://example.com/team/repo.git"
AGENTS = {
    "demo": KnownAgent(built=True, capabilities=Capabilities(resume=True)),
    "claude-code": KnownAgent(built=True, capabilities=Capabilities(resume=True, budget=True)),
    "codex": KnownAgent(built=False),
}
GRACE_SECONDS = 10


@dataclass
class Service:
    """The parts, and the requests that the application counted."""

    deps: ServerDeps
    app: ASGIApp
    queue: TaskQueue
    redis: Redis
    seen: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])

    @property
    def stop(self) -> asyncio.Event:
        return self.deps.stop

    def client(self, token: str | None = TOKEN) -> httpx2.AsyncClient:
        """A client of the application itself; its answers are held against the description."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://server",
            headers=headers,
            timeout=30,
            event_hooks={"response": [_check]},
        )

    async def claim(self, lane: Lane = Lane.AGENT, *, run: bool = True) -> Claim:
        """Take the next task as a worker does; with *run* its agent runs when this returns."""
        async with asyncio.timeout(30):
            while True:
                claim = await self.queue.claim(lane, worker="worker", home="home")
                if claim is not None:
                    break
                await self.queue.wait([lane], "home")
        if run:
            await self.queue.advance(claim, State.RUNNING, {"isolation": "none"}, random_token())
        return claim

    async def finish(self, claim: Claim, outcome: Outcome | None = None) -> State:
        """End a run; completed when no outcome is given."""
        return await self.queue.finish(claim, outcome or completed(), random_token())


async def _check(response: httpx2.Response) -> None:
    content = await response.aread()
    request = response.request
    if "Access-Control-Request-Method" in request.headers:
        return  # a browser's own question, which is no part of the API
    check_answer(request.method, request.url.path, response.status_code, response.headers, content)
    if response.is_success:
        check_request(request.method, request.url.path, request.content)


@asynccontextmanager
async def open_service(
    url: str,
    *,
    rules: TaskRules | None = None,
    ping_seconds: float = 5,
    max_body_bytes: int = 1024 * 1024,
    calls_per_minute: int = 0,
    cors_origins: tuple[str, ...] = (),
    room: Pressure | None = None,
) -> AsyncGenerator[Service]:
    """
    The parts of one process on the Redis at *url*, its hub running.

    Calls are not limited unless *calls_per_minute* says so.
    """
    clients = Clients.to(url)
    seen: list[tuple[str, str, int]] = []
    deps = make_deps(
        clients,
        seen,
        rules=rules,
        ping_seconds=ping_seconds,
        max_body_bytes=max_body_bytes,
        calls_per_minute=calls_per_minute,
        cors_origins=cors_origins,
        room=room,
    )
    queue = TaskQueue(clients.redis, KEYS, lease_seconds=30, blocking=clients.blocking)
    running = asyncio.create_task(deps.hub.run(deps.stop))
    try:
        yield Service(deps=deps, app=create_app(deps), queue=queue, redis=clients.redis, seen=seen)
    finally:
        deps.stop.set()
        await running
        await clients.close()


@dataclass(frozen=True)
class Clients:
    """The connections of one process; nothing is sent before the first command."""

    redis: Redis
    blocking: Redis
    subscriber: Redis

    @classmethod
    def to(cls, url: str) -> Clients:
        return cls(
            connect(url, role="command"), connect(url, role="blocking"), connect(url, role="pubsub")
        )

    async def close(self) -> None:
        for client in (self.redis, self.blocking, self.subscriber):
            await client.aclose()


def make_deps(
    clients: Clients,
    seen: list[tuple[str, str, int]],
    *,
    rules: TaskRules | None = None,
    ping_seconds: float = 5,
    max_body_bytes: int = 1024 * 1024,
    calls_per_minute: int = 0,
    cors_origins: tuple[str, ...] = (),
    room: Pressure | None = None,
) -> ServerDeps:
    """What an application needs, put together as the wiring does."""
    redis = clients.redis
    ops, box = Ops(redis, clients.blocking, KEYS), Box({"k": bytes(32)}, active="k")
    signing = SigningSecrets(box, "whsec_c2VjcmV0IQ==")
    webhook_store = WebhookStore(redis, KEYS)
    store = TaskStore(redis, KEYS)
    tasks = TaskService(
        store,
        EventLog(redis, KEYS),
        ops,
        box=box,
        clock=SystemClock(),
        policy=SettingsPolicy(tenants={}, repositories={}, agents={}),
        state_ttl_seconds=600,
        public_url="http://server",
        search_window=10_000,
    )

    tokens = TokenStore(redis, KEYS)
    callers = TokenResolver(TOKEN, tokens, SystemClock(), recheck_seconds=0.2)

    async def check_redis() -> None:
        await redis.get("any")

    async def render_metrics() -> bytes:
        return b"codeforge_http_requests_total 1\n"

    return ServerDeps(
        tasks=tasks,
        publishing=Publishing(store, tasks, ops, allow_workflows=False),
        letters=DeadLetters(store, EventLog(redis, KEYS), tasks),
        hub=Hub(subscriber=clients.subscriber, reader=redis, keys=KEYS, ping_seconds=ping_seconds),
        workers=Workers(redis, KEYS),
        door=PressureGauge(
            tasks,
            Workers(redis, KEYS),
            judge=partial(pressure, numbers=room or Pressure()),
            memory_share=lambda: 0.0,
            clock=SystemClock(),
            count=lambda answer, cause: None,
        ),
        keys=KeyRegistry(KeyStore(redis, KEYS), box, SystemClock()),
        ops=ops,
        gates=Gatekeeper(redis, KEYS),
        escalations=Escalations(redis, KEYS),
        breakers=Breakers(redis, KEYS),
        budgets=DayBudgets(redis, KEYS, SystemClock()),
        callers=callers,
        tokens=TokenRegistry(tokens, callers, SystemClock()),
        mcp=McpRegistry(McpStore(redis, KEYS), box=box, clock=SystemClock()),
        audit=AuditLog(redis, KEYS, SystemClock(), count_lost=lambda: None),
        limiter=RateLimiter(redis, KEYS, limit=calls_per_minute) if calls_per_minute else None,
        webhooks=EndpointRegistry(webhook_store, signing, SystemClock()),
        deliveries=DeliveryLog(webhook_store),
        rules=rules or TaskRules(agents=AGENTS, default_agent="demo"),
        version="1.2.3",
        clock=SystemClock(),
        stop=asyncio.Event(),
        check_redis=check_redis,
        render_metrics=render_metrics,
        observe_request=lambda method, route, status, seconds: seen.append((method, route, status)),
        max_body_bytes=max_body_bytes,
        cors_origins=cors_origins,
    )


@asynccontextmanager
async def listening(service: Service) -> AsyncGenerator[str]:
    """The application behind a real HTTP server; its base URL. Ends with the service's `stop`."""
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    running = asyncio.create_task(
        serve(service.app, listener, service.stop, grace_seconds=GRACE_SECONDS)
    )
    try:
        yield url
    finally:
        service.stop.set()
        await running


def body(**members: Any) -> dict[str, Any]:
    """A good body of `POST /tasks`, with some members changed."""
    return {"repo_url": REPO, "prompt": "Add a function", **members}


def completed(**members: Any) -> Outcome:
    """A good end of a run, with some members changed."""
    usage = Usage(input_tokens=10, output_tokens=5, cost_usd=0.5, turns=1, model="m")
    changes = Changes(files_created=1, insertions=3)
    return replace(Outcome(result="done", changes=changes, usage=usage), **members)


def failed(failure: Failure) -> Outcome:
    """A bad end of a run."""
    return Outcome(failure=failure)


def text_events(texts: Sequence[str]) -> list[NewEvent]:
    """Text events of an agent."""
    return [new_event("stream", "text", {"text": text}) for text in texts]
