"""
Connections to Redis, one client per way of using them, and its errors in our vocabulary.

A command must fail fast and may be repeated; a blocking read must be left to wait; a subscription
must show that it was cut. One set of timeouts cannot serve the three, and redis-py's defaults serve
none: its 5 s socket timeout cuts longer blocking reads and then repeats them.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal, TypeAlias, assert_never

import redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry as SyncRetry

from internal.errors import Unavailable
from internal.rdb.address import parse_sentinel
from internal.rdb.pool import Pool
from internal.rdb.sentinel import Options, sentinel_master, sentinel_pool

Role: TypeAlias = Literal["command", "blocking", "pubsub"]
"""What a client is for; see `connect`."""

MAX_BLOCK_SECONDS = 5
"""The longest timeout a blocking command may carry: its connection is given up 5 s later."""

_COMMAND_SECONDS = 3
_BLOCKING_SECONDS = MAX_BLOCK_SECONDS + 5
_CONNECT_SECONDS = 2
_POOL_WAIT_SECONDS = 3
# A host that answers nothing costs 15 s: 3 for the reply, then twice three attempts to connect.
_RETRIES = 2
# Maintenance notifications are a handshake of one vendor's cloud, refused elsewhere.
_NO_MAINTENANCE = MaintNotificationsConfig(enabled=False)
_FAILING_OVER = "Redis is failing over: this node takes no writes."
_OUT_OF_MEMORY = "Redis is out of memory: raise its maxmemory."
# The first word of an answer, behind what redis-py puts before it when a pipeline was refused.
_CODE = re.compile(r"(?:.* of pipeline caused error: \W*)?(\w*)", re.DOTALL)
# What redis-py has no class for, by that word.
_REFUSALS = {
    "OOM": _OUT_OF_MEMORY,
    "MISCONF": "Redis cannot write to its disk: free space, and it goes on by itself.",
    "NOREPLICAS": "Redis has too few replicas to take writes.",
    "BUSY": "Redis is busy with a script.",
    "UNBLOCKED": _FAILING_OVER,
}


def connect(
    url: str,
    *,
    role: Role,
    max_connections: int = 16,
    decode_responses: bool = True,
    client_name: str | None = None,
) -> Redis:
    """
    A client of *url* (masters only, behind Sentinel); nothing is sent before its first command.

    - `command`: a reply is awaited 3 s, failures are repeated twice with backoff. Send only what
      may be repeated: reads, and scripts that carry an id.
    - `blocking`: the command carries its timeout, at most MAX_BLOCK_SECONDS, and what it returns
      must not matter when lost; a dead connection is noticed after 10 s. Nothing is repeated, as
      the caller is a loop. *max_connections* is the number of loops.
    - `pubsub`: a read waits as long as its caller says. Nothing is repeated, so a cut is seen.

    When all *max_connections* are in use, a command waits up to 3 s for one. Close with `aclose`.

    Raises:
        Invalid: the URL is not understood.
    """
    options: Options = {
        **_role_options(role),
        "decode_responses": decode_responses,
        "client_name": client_name,
        "protocol": 3,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "max_connections": max_connections,
        "timeout": _POOL_WAIT_SECONDS,
        "maint_notifications_config": _NO_MAINTENANCE,
    }
    sentinel = parse_sentinel(url)
    if sentinel is not None:
        return Redis.from_pool(sentinel_pool(sentinel, options))
    return Redis.from_pool(Pool.from_url(url, **options))


def connect_sync(url: str, *, timeout_seconds: float = 1) -> redis.Redis:
    """
    A client for one thread: one connection, *timeout_seconds* per reply, nothing repeated.

    Raises:
        Invalid: the URL is not understood.
    """
    options: Options = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": SyncRetry(NoBackoff(), 0),
        "decode_responses": True,
        "protocol": 3,
        "max_connections": 1,
        "maint_notifications_config": _NO_MAINTENANCE,
    }
    sentinel = parse_sentinel(url)
    if sentinel is not None:
        return sentinel_master(sentinel, options)
    return redis.Redis.from_pool(redis.ConnectionPool.from_url(url, **options))


@contextmanager
def unavailable() -> Generator[None]:
    """
    Redis' refusals and silences as `Unavailable`; everything else passes as it is.

    Raises:
        Unavailable: Redis is away, loading, a replica, out of memory or disk, or refuses our
            password. Whether a command was carried out before a connection broke is unknown.
    """
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, ResponseError) as error:
        # What goes wrong while connecting is wrapped once more.
        cause = error.__cause__
        meaning = _meaning(cause if isinstance(cause, AuthenticationError) else error)
        if meaning is None:
            raise
        raise Unavailable(meaning) from error


def _role_options(role: Role) -> Options:
    match role:
        case "command":
            # No health_check_interval: its PING goes out before HELLO, and when that is refused
            # (loading, no password) redis-py 8.1 connects again from within, without an end.
            backoff = ExponentialWithJitterBackoff(base=0.05, cap=0.5)
            return {
                "socket_timeout": _COMMAND_SECONDS,
                "retry": Retry(backoff, _RETRIES),
                "retry_on_error": [BusyLoadingError, ReadOnlyError],
            }
        case "blocking":
            return {"socket_timeout": _BLOCKING_SECONDS, "retry": Retry(NoBackoff(), 0)}
        case "pubsub":
            return {"socket_timeout": _COMMAND_SECONDS, "retry": Retry(NoBackoff(), 0)}
    assert_never(role)


def _meaning(error: redis.RedisError) -> str | None:
    """What happened, for people; None for an answer that is about the command, not the server."""
    match error:
        case AuthenticationError():
            return "Redis refuses the user name or password of redis.url."
        case BusyLoadingError():
            return "Redis is loading its data."
        case ReadOnlyError() | ClusterDownError():  # MasterDownError is a ClusterDownError
            return _FAILING_OVER
        case OutOfMemoryError():
            return _OUT_OF_MEMORY
        case redis.ConnectionError() | redis.TimeoutError():
            return "Redis cannot be reached, or all connections to it are in use."
        case _:
            code = _CODE.match(str(error))
            return _REFUSALS.get(code[1]) if code else None
