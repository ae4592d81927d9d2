"""
Which master keys the data need, which ones each live process knows: what makes a rotation safe.

A process that lacks a key which stored secrets may be under is refused, and so is one that would
begin to seal with a key that another live process cannot open. So a key is first made known
everywhere, then made active anywhere, and forgotten only when nothing is under it.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from internal.crypto.keyring import Keyring
from internal.errors import Conflict
from internal.ids import random_token
from internal.rdb.client import unavailable
from internal.rdb.keys import Keys
from internal.rdb.scripts import Script, load_lua

log = structlog.get_logger(__name__)

_ADMIT = Script(load_lua("internal.rdb", "lua/admit"))
_ANNOUNCE = Script(load_lua("internal.rdb", "lua/announce"))
_RETIRE = Script(load_lua("internal.rdb", "lua/retire"))

_EACH_SECONDS = 5
_LIVE_MILLIS = 30_000
"""Six announcements may be lost before a process counts as gone."""
_REGISTER_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyProcess:
    """A live process: the key it seals with, the keys it can open, and where it runs."""

    active: str
    known: frozenset[str]
    program: str
    host: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """`stored`: keys that secrets may be under, and how often a process began to seal with each."""

    stored: Mapping[str, int]
    first: str | None
    """The key that records of the id `m1` are under, None when there can be none."""
    processes: tuple[KeyProcess, ...]

    def behind(self, kid: str) -> int:
        """How many live processes do not know the key *kid*."""
        return sum(kid not in process.known for process in self.processes)


class MasterKeys:
    """The master keys of the data, as one process with *keyring* sees them."""

    def __init__(self, redis: Redis, keys: Keys, keyring: Keyring) -> None:
        self._redis = redis
        self._keys = keys
        self._keyring = keyring
        self._process = random_token()
        self._is_heard = True
        self._record = json.dumps(
            {
                "active": keyring.active,
                "known": list(keyring.kids),
                "program": Path(sys.argv[0]).name,
                "host": socket.gethostname(),
                "pid": os.getpid(),
            }
        )

    async def admit(self) -> str | None:
        """
        Join the live processes; call it before anything is sealed or opened.

        Returns the id of the key that records of the id `m1` are under, if there may be any.

        Raises:
            Conflict: a key is missing here, or the active one is not known everywhere yet.
            Unavailable: Redis does not answer.
        """
        ring = self._keyring
        times = [_LIVE_MILLIS, _REGISTER_SECONDS]
        with unavailable():
            word, *rest = await _ADMIT(
                self._redis,
                [self._keys.prefix],
                [self._process, self._record, ring.active, *times, *ring.kids],
            )
        match word:
            case "unknown":
                raise Conflict(
                    f"The secrets in Redis belong to another encryption.key: {rest[0]} of the "
                    f"{rest[1]} master keys that they may be under are not configured here."
                )
            case "behind":
                raise Conflict(
                    f"{rest[0]} live processes cannot open what the encryption.key {ring.active} "
                    "would seal: put it into their encryption.keys first (`codeforge keys status`)."
                )
            case _:
                return str(rest[0]) or None

    async def run(self, stop: asyncio.Event) -> None:
        """The loop: say each 5 s that this process lives; a missed round costs nothing."""
        while not stop.is_set():
            await self._say(self._record)
            try:
                async with asyncio.timeout(_EACH_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue

    async def leave(self) -> None:
        """No longer count as live; where Redis did not hear, that is so after 30 s."""
        if self._is_heard:
            await self._say("")

    async def use(self) -> KeyUse:
        """What is stored and who lives. Raises Unavailable."""
        with unavailable():
            await self._announce(None)
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hgetall(self._keys.encryption_kids())
                pipe.get(self._keys.encryption_check())
                pipe.hgetall(self._keys.encryption_processes())
                kids, first, processes = await pipe.execute()
        stored = {str(kid): int(begun) for kid, begun in cast("dict[str, str]", kids).items()}
        return KeyUse(
            stored={first: 0, **stored} if first else stored,
            first=first,
            processes=tuple(map(_process, cast("dict[str, str]", processes).values())),
        )

    async def retire(self, kid: str, begun: int) -> str:
        """
        Forget that secrets may be under *kid*, which *begun* processes had begun to seal with when
        their counting began: `ok`, `active` (a live one seals with it), or `again` (count again).
        """
        with unavailable():
            args: list[str | int] = [kid, begun, _LIVE_MILLIS]
            return str(await _RETIRE(self._redis, [self._keys.prefix], args))

    async def _say(self, record: str) -> None:
        try:
            await self._announce(record)
        except (RedisError, OSError) as error:
            log.debug("master_keys.unheard", error=str(error))
            self._is_heard = False
        else:
            self._is_heard = True

    async def _announce(self, record: str | None) -> None:
        """*record* "" leaves; None only forgets the silent ones."""
        process = "" if record is None else self._process
        args: list[str | int] = [process, record or "", _LIVE_MILLIS, _REGISTER_SECONDS]
        await _ANNOUNCE(self._redis, [self._keys.prefix], args)


def _process(record: str) -> KeyProcess:
    members = json.loads(record)
    return KeyProcess(
        active=members["active"],
        known=frozenset(members["known"]),
        program=members["program"],
        host=members["host"],
        pid=members["pid"],
    )
