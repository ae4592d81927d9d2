"""
All that the HTTP edge is given: services and plain values, put together by the wiring.

The server reads no settings and opens no connection of its own, so a test can build it from parts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from internal.access.audit import AuditLog
from internal.access.registry import TokenRegistry
from internal.access.resolver import TokenResolver
from internal.agent.model import Capabilities
from internal.clock import Clock
from internal.control.rate import RateLimiter
from internal.keys.registry import KeyRegistry
from internal.mcp.registry import McpRegistry
from internal.server.pressure import Doorkeeper
from internal.server.workers import Workers
from internal.task.breakers import Breakers
from internal.task.daybudgets import DayBudgets
from internal.task.escalations import Escalations
from internal.task.gatekeeper import Gatekeeper
from internal.task.hub import Hub
from internal.task.letters import DeadLetters
from internal.task.ops import Ops
from internal.task.publishing import Publishing
from internal.task.service import TaskService
from internal.webhook.deliveries import DeliveryLog
from internal.webhook.registry import EndpointRegistry

ObserveRequest = Callable[[str, str, int, float], None]
"""Counts one request: method, route template, status, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAgent:
    """
    One row of the built-in agent table.

    `built` is False for an agent that only a later version can run.
    """

    built: bool
    capabilities: Capabilities = field(default_factory=Capabilities)


CheckHost = Callable[[str], None]
"""Raises PolicyDenied for a host that may not be spoken to, as far as its name alone tells."""


def any_host(host: str) -> None:
    """The check that lets every host pass; what is behind a name is looked at when it is used."""
    del host


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRules:
    """What a new task is checked against and filled up from; times in seconds."""

    agents: Mapping[str, KnownAgent]
    default_agent: str
    default_timeout_seconds: int = 300
    max_timeout_seconds: int = 1800
    silence_seconds: int = 600
    max_wait_seconds: int = 60
    pr_wait_seconds: int = 50
    allow_local: bool = False
    allow_hosts: tuple[str, ...] = ()
    check_http_host: CheckHost = any_host
    check_git_host: CheckHost = any_host
    provider_domains: Mapping[str, str] = field(default_factory=dict[str, str])
    """Host to the provider whose API it speaks: the setting `git.provider_domains`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDeps:
    """
    What `create_app` needs.

    `stop` is the event that ends the process' loops; once it is set, `/ready` says so.
    `check_redis` returns when Redis answers and raises otherwise.
    """

    tasks: TaskService
    publishing: Publishing
    letters: DeadLetters
    hub: Hub
    workers: Workers
    door: Doorkeeper
    """Whether new work is taken."""
    callers: TokenResolver
    tokens: TokenRegistry
    mcp: McpRegistry
    audit: AuditLog
    keys: KeyRegistry
    ops: Ops
    gates: Gatekeeper
    escalations: Escalations
    breakers: Breakers
    budgets: DayBudgets
    limiter: RateLimiter | None
    """None: nothing is limited."""
    webhooks: EndpointRegistry
    deliveries: DeliveryLog
    rules: TaskRules
    version: str
    clock: Clock
    stop: asyncio.Event
    check_redis: Callable[[], Awaitable[object]]
    render_metrics: Callable[[], Awaitable[bytes]]
    observe_request: ObserveRequest
    max_body_bytes: int = 1024 * 1024
    cors_origins: tuple[str, ...] = ()
