"""
What a test left in Redis: every key without a TTL that is not meant to stay for ever.

A finished task expires, and so must everything written for it; a key that nobody will ever delete
is a leak that no other test sees.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from typing import cast

from redis.asyncio import Redis

from internal.rdb.keys import Keys

_ANY = Keys("*")
PERMANENT_KEYS = (
    # The deployment.
    _ANY.schema(),
    _ANY.encryption_check(),
    _ANY.encryption_kids(),
    _ANY.deployment(),
    _ANY.limits(),
    _ANY.tenants(),
    _ANY.escalation("*"),
    _ANY.escalations(),
    _ANY.counters(),
    _ANY.contact(),
    _ANY.served("*"),
    # Indexes, whose entries leave with their task.
    _ANY.tenant_index("*"),
    _ANY.tenant_state("*", "*"),
    _ANY.expiring(),
    _ANY.dead_letters(),
    _ANY.workers(),
    # What stays until its owner erases it.
    _ANY.registered_keys("*"),
    _ANY.registered_key("*", "*"),
    _ANY.token("*"),
    _ANY.tokens("*"),
    _ANY.webhook_endpoints("*"),
    _ANY.webhook_endpoint("*", "*"),
    _ANY.mcp_servers("*", "*"),
    _ANY.mcp_count("*"),
    # Doorbells: at most 64 entries, and nobody minds one too many.
    _ANY.bell("*", ""),
    _ANY.outbox_bell(),
)
"""Patterns of what lives as long as the deployment; everything else ends or has a TTL."""

_NO_TTL = -1


async def leaked_keys(redis: Redis) -> list[str]:
    """The keys that will never go away by themselves and are not on the list, sorted."""
    found = cast("AsyncIterator[str]", redis.scan_iter(count=1000))
    keys = sorted([key async for key in found])
    async with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.pttl(key)
        lives = await pipe.execute()
    return [
        key
        for key, life in zip(keys, lives, strict=True)
        if life == _NO_TTL and not any(fnmatchcase(key, known) for known in PERMANENT_KEYS)
    ]
