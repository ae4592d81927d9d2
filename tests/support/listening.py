"""A listener of the input list, on the parts of a test's server process."""

from __future__ import annotations

from redis.asyncio import Redis

from internal.server.listener import InputListener
from tests.support.service import KEYS, Service


def make_listener(service: Service, blocking: Redis, *, lease_seconds: float = 30) -> InputListener:
    """It takes payloads of up to 10,000 bytes; *blocking* is a client for blocking reads."""
    return InputListener(
        service.redis,
        blocking,
        KEYS,
        tasks=service.deps.tasks,
        registered=service.deps.keys,
        audit=service.deps.audit,
        rules=service.deps.rules,
        door=service.deps.door,
        max_body_bytes=10_000,
        lease_seconds=lease_seconds,
    )
