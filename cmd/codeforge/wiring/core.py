"""
What every process needs: connections, checked, and the parts that servers and workers share.

Everything here and beside is an async context manager, so a test can run any part in its own
process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, Protocol

import structlog
from redis.asyncio import Redis

from codeforge import __version__
from codeforge.wiring.policy import open_policy
from internal.clock import SystemClock
from internal.config.settings import Settings
from internal.control.escalation import Signal, encode_rules
from internal.control.policy import Policy
from internal.crypto.box import Box
from internal.crypto.keyring import Keyring
from internal.egress.client import HttpClient
from internal.egress.guard import Guard
from internal.keys.registry import KeyRegistry
from internal.keys.store import KeyStore
from internal.mcp.registry import McpRegistry
from internal.mcp.store import McpStore
from internal.rdb.client import connect
from internal.rdb.health import check_server
from internal.rdb.keys import Keys
from internal.rdb.masterkeys import MasterKeys
from internal.task.eventlog import EventLog
from internal.task.letters import DeadLetters
from internal.task.ops import Ops
from internal.task.publishing import Publishing
from internal.task.queue import TaskQueue
from internal.task.reaper import Reaper
from internal.task.service import TaskService
from internal.task.store import TaskStore
from internal.webhook.deliveries import DeliveryLog
from internal.webhook.dispatcher import Dispatcher
from internal.webhook.outbox import Outbox
from internal.webhook.registry import EndpointRegistry
from internal.webhook.schedule import schedule_from_settings
from internal.webhook.secrets import SigningSecrets
from internal.webhook.sender import Sender
from internal.webhook.store import WebhookStore

log = structlog.get_logger(__name__)

_LEAVE_SECONDS = 3.0
"""Without Redis a process does not wait to say that it goes; it is forgotten by itself."""


class Loop(Protocol):
    """The one shape of all background work."""

    async def run(self, stop: asyncio.Event) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The deployment's own secrets, from settings or from the files that `up` made."""

    auth_token: str = field(repr=False)
    master_key: bytes = field(repr=False)
    hmac_secret: str = field(repr=False)
    other_master_keys: tuple[bytes, ...] = field(default=(), repr=False)
    """They only open: keys of before, and the next one."""
    old_hmac_secrets: tuple[str, ...] = field(default=(), repr=False)
    """They sign beside `hmac_secret`, for receivers that have not changed to it yet."""

    @property
    def keyring(self) -> Keyring:
        """All master keys."""
        return Keyring.of(self.master_key, self.other_master_keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is open and checked; every part is made from it."""

    settings: Settings
    secrets: Secrets
    keys: Keys
    policy: Policy
    redis: Redis
    blocking: Redis
    box: Box
    http: HttpClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Core(Ground):
    """What servers and workers share."""

    service: TaskService
    publishing: Publishing
    letters: DeadLetters
    queue: TaskQueue
    ops: Ops
    mcp: McpRegistry
    store: TaskStore
    key_store: KeyStore
    registered: KeyRegistry
    reaper: Reaper
    dispatcher: Dispatcher
    webhooks: EndpointRegistry
    deliveries: DeliveryLog


@asynccontextmanager
async def open_core(settings: Settings, secrets: Secrets) -> AsyncGenerator[Core]:
    """
    Connect, check the server and the master key, and make the parts every process has.

    Raises:
        Invalid: the policy that the settings name is missing or broken.
        Invalid, Conflict, Unavailable: Redis is not fit, newer, of another key, or away.
    """
    policy = open_policy(settings)
    keys = Keys(settings.redis.prefix)
    async with AsyncExitStack() as stack:

        def client(role: Any, connections: int) -> Redis:
            made = connect(
                settings.redis.url.get_secret_value(), role=role, max_connections=connections
            )
            stack.push_async_callback(made.aclose)
            return made

        redis, blocking = client("command", 32), client("blocking", 64)
        facts = await check_server(redis, keys, ephemeral=settings.redis.ephemeral)
        for warning in facts.warnings:
            log.warning("redis.settings", warning=warning)
        box = await _admitted(stack, MasterKeys(redis, keys, secrets.keyring), secrets.keyring)
        http = await stack.enter_async_context(
            HttpClient(Guard(settings.egress.allow), user_agent=f"CodeForge/{__version__}")
        )
        yield _core(
            Ground(
                settings=settings,
                secrets=secrets,
                keys=keys,
                policy=policy,
                redis=redis,
                blocking=blocking,
                box=box,
                http=http,
            )
        )


async def _admitted(stack: AsyncExitStack, master: MasterKeys, keyring: Keyring) -> Box:
    """Be among the live processes until the stack is closed; what opens and seals here."""
    first = await master.admit()
    stop = asyncio.Event()
    living = asyncio.create_task(master.run(stop))

    async def leave() -> None:
        stop.set()
        done, _ = await asyncio.wait({living}, timeout=_LEAVE_SECONDS)
        if done:
            await master.leave()
        living.cancel()

    stack.push_async_callback(leave)
    return keyring.box(first)


def _core(ground: Ground) -> Core:
    settings, redis, keys, box = ground.settings, ground.redis, ground.keys, ground.box
    store = TaskStore(redis, keys, replicas=settings.redis.replicas)
    events, ops = EventLog(redis, keys), Ops(redis, ground.blocking, keys)
    queue = _queue(ground)
    service = _service(ground, store, events, ops)
    signing = SigningSecrets(box, ground.secrets.hmac_secret, ground.secrets.old_hmac_secrets)
    key_store, webhook_store = KeyStore(redis, keys), WebhookStore(redis, keys)
    return Core(
        settings=settings,
        secrets=ground.secrets,
        keys=keys,
        policy=ground.policy,
        redis=redis,
        blocking=ground.blocking,
        box=box,
        http=ground.http,
        service=service,
        publishing=Publishing(store, service, ops, allow_workflows=settings.git.allow_workflows),
        letters=DeadLetters(store, events, service),
        queue=queue,
        ops=ops,
        mcp=McpRegistry(McpStore(redis, keys), box=box, clock=SystemClock()),
        store=store,
        key_store=key_store,
        registered=KeyRegistry(key_store, box, SystemClock()),
        reaper=_reaper(ground, queue),
        dispatcher=_dispatcher(ground, signing),
        webhooks=EndpointRegistry(webhook_store, signing, SystemClock()),
        deliveries=DeliveryLog(webhook_store),
    )


def _queue(ground: Ground) -> TaskQueue:
    return TaskQueue(
        ground.redis,
        ground.keys,
        lease_seconds=ground.settings.workers.lease_seconds,
        replicas=ground.settings.redis.replicas,
        blocking=ground.blocking,
    )


def _service(ground: Ground, store: TaskStore, events: EventLog, ops: Ops) -> TaskService:
    settings = ground.settings
    return TaskService(
        store,
        events,
        ops,
        box=ground.box,
        clock=SystemClock(),
        policy=ground.policy,
        state_ttl_seconds=settings.tasks.state_ttl,
        public_url=settings.server.base_url,
        search_window=settings.limits.search_window,
    )


def _reaper(ground: Ground, queue: TaskQueue) -> Reaper:
    return Reaper(
        queue,
        home_grace_seconds=ground.settings.workers.home_grace_seconds,
        loss_rules=encode_rules(ground.policy.escalation, [Signal.WORKER_LOST]),
        trim_share=ground.settings.control.pressure.trim_redis_share,
    )


def _dispatcher(ground: Ground, signing: SigningSecrets) -> Dispatcher:
    webhooks = ground.settings.webhooks
    return Dispatcher(
        Outbox(ground.redis, ground.blocking, ground.keys),
        Sender(ground.http, signing, SystemClock(), version=__version__),
        schedule_from_settings(webhooks.retry_count, webhooks.retry_delay),
        random=SystemRandom(),
        clock=SystemClock(),
    )


def git_guard(settings: Settings) -> Guard:
    """What git may reach: public addresses, and what the operator named for it."""
    named = [host for host in settings.git.allow_hosts if "*" not in host]
    return Guard([*settings.egress.allow, *named])


async def run_loops(loops: Sequence[Loop], stop: asyncio.Event) -> None:
    """Run loops side by side until *stop*; one that breaks ends all, with its error."""
    async with asyncio.TaskGroup() as group:
        for loop in loops:
            group.create_task(loop.run(stop), name=type(loop).__name__)
