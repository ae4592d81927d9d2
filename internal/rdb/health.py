"""
What must be true of a Redis before this process works with it, checked once at start.

A store that forgets on restart would make every promise a lie, so it is refused unless the operator
sets `redis.ephemeral`. Managed servers forbid CONFIG and INFO: what cannot be seen is a warning.
"""

# redis-py leaves its **kwargs and execute_command untyped.
# mypy: disable-error-code="no-untyped-call"
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from internal.errors import Conflict, Invalid
from internal.ids import random_token
from internal.rdb.client import unavailable
from internal.rdb.keys import Keys

SCHEMA = 1
"""The number of the layout of the data in Redis; a process refuses data of a higher one."""

_OLDEST_REDIS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What the server says of itself; `is_persistent` is None when it does not tell."""

    program: str
    version: str
    is_persistent: bool | None
    warnings: tuple[str, ...]


async def check_server(redis: Redis, keys: Keys, *, ephemeral: bool) -> ServerFacts:
    """
    Read what the server is, and mark data that have no schema number yet with ours.

    Raises:
        Invalid: older than Redis 7, or without persistence and not *ephemeral*; the field names the
            setting to change.
        Conflict: the data were written by a newer version of this program.
        Unavailable: Redis does not answer.
    """
    facts = await read_facts(redis, ephemeral=ephemeral)
    with unavailable():
        stored = await _stored_or_set(redis, keys.schema(), str(SCHEMA))
    if int(stored) > SCHEMA:
        raise Conflict(
            f"The data in Redis have schema {stored}, this version knows {SCHEMA}: upgrade it."
        )
    return facts


async def read_facts(redis: Redis, *, ephemeral: bool) -> ServerFacts:
    """
    Read what the server is; nothing is written.

    Raises:
        Invalid, Unavailable: as `check_server`.
    """
    with unavailable():
        program, version = await _identity(redis)
        aof = (await _asked(redis, "INFO", "persistence")).get("aof_enabled")
        config = await _asked(redis, "CONFIG", "GET", "save", "maxmemory-policy")
    facts = ServerFacts(
        program=program,
        version=version,
        is_persistent=_is_persistent(aof, config.get("save")),
        warnings=tuple(_warnings(aof, config, ephemeral=ephemeral)),
    )
    _refuse_unfit(facts, ephemeral=ephemeral)
    return facts


async def deployment_id(redis: Redis, keys: Keys) -> str:
    """
    The random id of the data in Redis, made when they have none.

    Raises:
        Unavailable: Redis does not answer.
    """
    with unavailable():
        return await _stored_or_set(redis, keys.deployment(), random_token())


async def _stored_or_set(redis: Redis, key: str, value: str) -> str:
    """What *key* holds, which is *value* if nobody came first; safe to repeat."""
    stored = cast("str | None", await redis.get(key))  # a server without memory refuses any SET
    if stored is None:
        stored = cast("str | None", await redis.set(key, value, nx=True, get=True))
    return value if stored is None else stored


async def _identity(redis: Redis) -> tuple[str, str]:
    """Program and version, by HELLO, which every user may send."""
    answer = cast("dict[str, object]", await redis.execute_command("HELLO"))
    return str(answer["server"]), str(answer["version"])


async def _asked(redis: Redis, *command: str) -> dict[str, str]:
    """The answer as text by name; empty when the command is forbidden or unknown there."""
    try:
        answer = cast("dict[str, object]", await redis.execute_command(*command))
    except ResponseError:
        return {}
    return {name: str(value) for name, value in answer.items()}


def _is_persistent(aof: str | None, save: str | None) -> bool | None:
    if aof == "1" or save:
        return True
    return None if aof is None or save is None else False


def _warnings(aof: str | None, config: dict[str, str], *, ephemeral: bool) -> list[str]:
    warnings: list[str] = []
    persistent = _is_persistent(aof, config.get("save"))
    if persistent is None and not ephemeral:
        warnings.append("Redis does not tell whether its data outlive a restart; see that they do.")
    elif persistent is False:
        warnings.append("Redis keeps its data in memory only: a restart loses every task.")
    elif aof == "0":
        warnings.append("Redis has snapshots only: a crash loses minutes; set appendonly yes.")
    policy = config.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        warnings.append(
            f"Redis drops keys when full: set maxmemory-policy noeviction, not {policy}."
        )
    return warnings


def _refuse_unfit(facts: ServerFacts, *, ephemeral: bool) -> None:
    major, _, _ = facts.version.partition(".")
    if facts.program == "redis" and int(major) < _OLDEST_REDIS:
        problem = f"Redis {facts.version} is too old: version {_OLDEST_REDIS} or later is needed."
        raise Invalid(problem, fields={"redis.url": problem})
    if facts.is_persistent is False and not ephemeral:
        problem = (
            "This Redis keeps its data in memory only, so a restart loses every task. "
            "Set appendonly yes there, or redis.ephemeral here if that is wanted."
        )
        raise Invalid(problem, fields={"redis.ephemeral": problem})
