"""The HTTP edge, put together over a core."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codeforge import __version__
from codeforge.wiring.core import Core, Loop, git_guard
from codeforge.wiring.policy import write_limits
from codeforge.wiring.snapshots import Snapshots
from internal.access.audit import AuditLog
from internal.access.registry import TokenRegistry
from internal.access.resolver import TokenResolver
from internal.access.store import TokenStore
from internal.agent import catalog
from internal.agent.model import Capabilities
from internal.clock import SystemClock
from internal.config.settings import Settings
from internal.control.rate import RateLimiter
from internal.egress.guard import Guard
from internal.rdb.client import connect
from internal.server.app import create_app
from internal.server.deps import KnownAgent, ServerDeps, TaskRules
from internal.server.listener import InputListener
from internal.server.memory import memory_share
from internal.server.pressure import PressureGauge
from internal.server.workers import Workers
from internal.task.breakers import Breakers
from internal.task.daybudgets import DayBudgets
from internal.task.escalations import Escalations
from internal.task.gatekeeper import Gatekeeper
from internal.task.hub import Hub
from internal.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from internal.telemetry.otel import Tracing


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """An HTTP edge: the application for uvicorn, and its loops."""

    app: Callable[..., Awaitable[None]]
    loops: tuple[Loop, ...]


@asynccontextmanager
async def open_server(
    core: Core, stop: asyncio.Event, tracing: Tracing | None = None
) -> AsyncGenerator[Server]:
    """
    The HTTP edge over *core*; *stop* ends its streams with `bye`. *tracing* is for its metrics.

    Raises:
        Unavailable: Redis is away.
    """
    await write_limits(core.store, core.policy)
    url = core.settings.redis.url.get_secret_value()
    pubsub = connect(url, role="pubsub", max_connections=2)
    history = connect(url, role="command", max_connections=8)
    try:
        hub = Hub(subscriber=pubsub, reader=history, keys=core.keys)
        metrics = Metrics(count_spans=tracing.counts if tracing else None)
        deps = _deps(core, stop, hub, metrics)
        listener = _listener(core, deps)
        yield Server(app=create_app(deps), loops=(hub, listener, core.reaper, core.dispatcher))
    finally:
        await pubsub.aclose()
        await history.aclose()


def _deps(core: Core, stop: asyncio.Event, hub: Hub, metrics: Metrics) -> ServerDeps:
    settings, redis, keys, clock = core.settings, core.redis, core.keys, SystemClock()
    workers, tokens = Workers(redis, keys), TokenStore(redis, keys)
    snapshots = Snapshots(redis, keys, workers)
    callers = TokenResolver(core.secrets.auth_token, tokens, clock)

    async def check_redis() -> None:
        await redis.ping()

    async def render_metrics() -> bytes:
        return metrics.render(await snapshots.read())

    return ServerDeps(
        tasks=core.service,
        publishing=core.publishing,
        letters=core.letters,
        hub=hub,
        workers=workers,
        door=_door(core, workers, metrics),
        keys=core.registered,
        ops=core.ops,
        gates=Gatekeeper(redis, keys),
        escalations=Escalations(redis, keys),
        breakers=Breakers(redis, keys),
        budgets=DayBudgets(redis, keys, clock),
        callers=callers,
        tokens=TokenRegistry(tokens, callers, clock),
        mcp=core.mcp,
        audit=AuditLog(redis, keys, clock, count_lost=metrics.count_lost_audit_entry),
        limiter=_limiter(core),
        webhooks=core.webhooks,
        deliveries=core.deliveries,
        rules=task_rules(settings),
        version=__version__,
        clock=clock,
        stop=stop,
        check_redis=check_redis,
        render_metrics=render_metrics,
        observe_request=metrics.observe_request,
        max_body_bytes=settings.server.max_body_bytes,
        cors_origins=settings.server.cors_origins,
    )


def _door(core: Core, workers: Workers, metrics: Metrics) -> PressureGauge:
    return PressureGauge(
        core.service,
        workers,
        judge=core.policy.pressure,
        memory_share=memory_share,
        clock=SystemClock(),
        count=metrics.count_turned_away,
    )


def _listener(core: Core, deps: ServerDeps) -> InputListener:
    """Another way in, through the same door and by the same rules."""
    return InputListener(
        core.redis,
        core.blocking,
        core.keys,
        tasks=core.service,
        registered=core.registered,
        audit=deps.audit,
        rules=deps.rules,
        door=deps.door,
        max_body_bytes=deps.max_body_bytes,
    )


def _limiter(core: Core) -> RateLimiter | None:
    wanted = core.settings.rate_limit
    if not wanted.enabled:
        return None
    return RateLimiter(core.redis, core.keys, limit=wanted.tasks_per_minute)


def task_rules(settings: Settings) -> TaskRules:
    """What new tasks are checked against."""
    agents = {
        name: KnownAgent(built=True, capabilities=driver.capabilities)
        for name, driver in catalog.AVAILABLE.items()
    }
    planned = {
        name: KnownAgent(built=False, capabilities=Capabilities()) for name in catalog.PLANNED
    }
    return TaskRules(
        agents={**agents, **planned},
        default_agent=settings.cli.default,
        default_timeout_seconds=settings.tasks.default_timeout,
        max_timeout_seconds=settings.tasks.max_timeout,
        silence_seconds=settings.tasks.silence_seconds,
        max_wait_seconds=settings.server.max_wait,
        pr_wait_seconds=settings.server.pr_wait,
        allow_local=settings.git.allow_local,
        allow_hosts=tuple(settings.git.allow_hosts),
        check_http_host=Guard(settings.egress.allow).check,
        check_git_host=git_guard(settings).check,
        provider_domains=settings.git.provider_domains,
    )
