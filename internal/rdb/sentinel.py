"""
Clients that ask Sentinel where the master is, with the same settings as all others.

A separate file because redis-py leaves its Sentinel classes untyped.
"""

# mypy: disable-error-code="no-untyped-call"
# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any, TypeAlias

import redis
from redis.asyncio import Sentinel
from redis.asyncio.sentinel import SentinelConnectionPool

from internal.rdb.address import SentinelAddress
from internal.rdb.pool import Pool

Options: TypeAlias = dict[str, Any]
"""Keyword arguments of redis-py's connections."""


class SentinelPool(SentinelConnectionPool, Pool):
    """Waits for a free connection as the other pools do, and closes the sentinels' clients too."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


def sentinel_pool(address: SentinelAddress, options: Options) -> SentinelPool:
    """Connections to the master of *address*, asked for anew after each cut."""
    watcher = Sentinel(
        address.hosts,
        min_other_sentinels=_min_other_sentinels(address),
        sentinel_kwargs=_watcher_options(address, options),
    )
    return SentinelPool(
        address.service, watcher, ssl=address.tls, **options, **_node_options(address)
    )


def sentinel_master(address: SentinelAddress, options: Options) -> redis.Redis:
    """The same for a thread: a synchronous client of the master."""
    watcher = redis.Sentinel(
        address.hosts,
        min_other_sentinels=_min_other_sentinels(address),
        sentinel_kwargs=_watcher_options(address, options),
    )
    client: redis.Redis = watcher.master_for(
        address.service, ssl=address.tls, **options, **_node_options(address)
    )
    return client


def _node_options(address: SentinelAddress) -> Options:
    return {
        "db": address.db,
        "username": address.username,
        "password": address.password,
        **address.tls_options,
    }


def _watcher_options(address: SentinelAddress, options: Options) -> Options:
    return {
        "socket_timeout": options["socket_connect_timeout"],
        "socket_connect_timeout": options["socket_connect_timeout"],
        "username": address.sentinel_username,
        "password": address.sentinel_password,
    }


def _min_other_sentinels(address: SentinelAddress) -> int:
    """A sentinel that sees none of the others may be the one that was cut off."""
    return 1 if len(address.hosts) > 1 else 0
