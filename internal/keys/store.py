"""Registered keys in Redis: one hash each, and an index of names per tenant, oldest first."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from redis.asyncio import Redis

from internal.clock import from_millis
from internal.crypto.box import kid_of
from internal.ids import random_token
from internal.keys.model import MAX_KEYS, KeyProvider, NewKey, RegisteredKey
from internal.rdb.client import unavailable
from internal.rdb.keys import Keys
from internal.rdb.scripts import Script, load_lua

_CREATE = Script(load_lua("internal.keys", "lua/create"))
_DELETE = Script(load_lua("internal.keys", "lua/delete"))
_TOUCH = Script(load_lua("internal.keys", "lua/touch"))

_DELETED_SECONDS = 60
SEALED = "sealed"
"""The field of a record that holds the sealed value."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key with its sealed value."""

    key: RegisteredKey
    sealed: str = field(repr=False)


class KeyStore:
    """All keys of a deployment. Raises Unavailable when Redis is away."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def create(self, tenant: str, new: NewKey, *, hint: str, sealed: str) -> tuple[str, int]:
        """`ok` and when (ms), `exists`, or `full`; repeatable."""
        fields = {"provider": new.provider.value, "hint": hint, SEALED: sealed}
        if new.base_url:
            fields["base_url"] = new.base_url
        if new.scope:
            fields["scope"] = json.dumps(new.scope)
        if new.expires_at:
            fields["expires_at"] = str(_millis(new.expires_at))
        pairs = [text for pair in fields.items() for text in pair]
        args: list[str | int] = [tenant, new.name, random_token(), MAX_KEYS, *pairs]
        with unavailable():
            reply = await _CREATE(self._redis, [self._keys.prefix], args)
        return str(reply[0]), int(reply[1]) if len(reply) > 1 else 0

    async def find(self, tenant: str, name: str) -> StoredKey | None:
        """The key, or None when there is no such one."""
        with unavailable():
            fields = await self._redis.hgetall(self._keys.registered_key(tenant, name))
        return _decode(cast("dict[str, str]", fields))

    async def list(self, tenant: str) -> list[StoredKey]:
        """All keys of a tenant, oldest first."""
        with unavailable():
            names = await self._redis.zrange(self._keys.registered_keys(tenant), 0, MAX_KEYS)
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hgetall(self._keys.registered_key(tenant, str(name)))
                rows = cast("list[dict[str, str]]", await pipe.execute())
        return [found for fields in rows if (found := _decode(fields)) is not None]

    async def touch(self, tenant: str, name: str) -> None:
        """Remember that it was used just now."""
        with unavailable():
            await _TOUCH(self._redis, [self._keys.registered_key(tenant, name)], [])

    async def delete(self, tenant: str, name: str) -> bool:
        """Erase it; False when there is none. Repeatable."""
        args: list[str | int] = [tenant, name, random_token(), _DELETED_SECONDS]
        with unavailable():
            return bool(await _DELETE(self._redis, [self._keys.prefix], args))


def _decode(fields: Mapping[str, str]) -> StoredKey | None:
    if SEALED not in fields:
        return None
    sealed = fields[SEALED]
    key = RegisteredKey(
        name=fields["name"],
        provider=KeyProvider(fields["provider"]),
        hint=fields["hint"],
        kid=kid_of(sealed) or "",
        created_at=from_millis(int(fields["created_at"])),
        base_url=fields.get("base_url"),
        scope=tuple(json.loads(fields.get("scope", "[]"))),
        last_used_at=_time(fields.get("used_at")),
        expires_at=_time(fields.get("expires_at")),
    )
    return StoredKey(key, sealed)


def _time(millis: str | None) -> datetime | None:
    return None if millis is None else from_millis(int(millis))


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
