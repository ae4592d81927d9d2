"""
Clients that ask Sentinel where the master is, with the same settings as all others.

redis-py asks when it connects. A master that is cut off from its set, and not from us, keeps its
connections and answers, while another was promoted: so the sentinels are asked again now and then,
and a connection to whoever is master no more is replaced before its next use.

A separate file because redis-py leaves its Sentinel classes untyped.
"""

# mypy: disable-error-code="no-untyped-call"
# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import time
from typing import Any, TypeAlias, cast

import redis
import redis.sentinel
from redis.asyncio import Sentinel
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.connection import Connection as TcpConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.exceptions import RedisError
from redis.retry import Retry as SyncRetry

from internal.rdb.address import SentinelAddress
from internal.rdb.pool import Pool

Options: TypeAlias = dict[str, Any]
"""Keyword arguments of redis-py's connections."""


_ASK_SECONDS = 2.0
_ASKING_SHARE = 5
"""Sentinels that are slow to answer are left alone for so many times as long as it took."""


class _Rounds:
    """When the sentinels are to be asked again, by one caller at a time."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _ASK_SECONDS
        self._began = 0.0

    def begin(self) -> bool:
        """Whether it is time; the caller asks, all others go on."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._began, self._next = now, float("inf")
        return True

    def end(self) -> None:
        now = time.monotonic()
        self._next = now + max(_ASK_SECONDS, _ASKING_SHARE * (now - self._began))


class SentinelPool(SentinelConnectionPool, Pool):
    """Waits for a free connection as the other pools do, and closes the sentinels' clients too."""

    def __init__(self, service: str, watcher: Sentinel, **options: Any) -> None:
        super().__init__(service, watcher, **options)
        self._rounds = _Rounds()

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Make *connection* ready, to the master of now."""
        if self._rounds.begin():
            await self._ask()
        place = cast("TcpConnection", connection)
        if (place.host, place.port) != self.master_address:
            await connection.disconnect()
        await super().ensure_connection(connection)

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()

    async def _ask(self) -> None:
        try:
            await self.get_master_address()
        except RedisError:
            pass  # nobody knows another one, so the one we have is as good as any
        finally:
            self._rounds.end()


class ThreadPool(redis.sentinel.SentinelConnectionPool):
    """The same for one thread, whose one connection is idle when it is asked for."""

    def __init__(self, service: str, watcher: redis.Sentinel, **options: Any) -> None:
        super().__init__(service, watcher, **options)
        self._rounds = _Rounds()

    def get_connection(self, command_name: str | None = None, *_: Any, **__: Any) -> Connection:
        """A connection to the master of now."""
        if self._rounds.begin():
            try:
                self.proxy.get_master_address()  # a change disconnects what is idle
            except RedisError:
                pass
            finally:
                self._rounds.end()
        return super().get_connection()


def sentinel_pool(address: SentinelAddress, options: Options) -> SentinelPool:
    """Connections to the master of *address*, as its sentinels know it."""
    watcher = Sentinel(
        address.hosts,
        min_other_sentinels=_min_other_sentinels(address),
        sentinel_kwargs={**_watcher_options(address, options), "retry": Retry(NoBackoff(), 0)},
    )
    return SentinelPool(
        address.service, watcher, ssl=address.tls, **options, **_node_options(address)
    )


def sentinel_master(address: SentinelAddress, options: Options) -> redis.Redis:
    """The same for a thread: a synchronous client of the master."""
    watcher = redis.Sentinel(
        address.hosts,
        min_other_sentinels=_min_other_sentinels(address),
        sentinel_kwargs={**_watcher_options(address, options), "retry": SyncRetry(NoBackoff(), 0)},
    )
    client: redis.Redis = watcher.master_for(
        address.service,
        connection_pool_class=ThreadPool,
        ssl=address.tls,
        **options,
        **_node_options(address),
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
    """For clients of the sentinels; one that is away costs one attempt, the next is asked."""
    return {
        "socket_timeout": options["socket_connect_timeout"],
        "socket_connect_timeout": options["socket_connect_timeout"],
        "username": address.sentinel_username,
        "password": address.sentinel_password,
    }


def _min_other_sentinels(address: SentinelAddress) -> int:
    """A sentinel that sees none of the others may be the one that was cut off."""
    return 1 if len(address.hosts) > 1 else 0
