"""
API tokens in Redis: one hash per token under the hash of its text, and each tenant's by name.

Whoever reads all of Redis learns who has tokens, and none of the tokens.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from redis.asyncio import Redis

from internal.access.model import ApiToken, Scope, including
from internal.clock import from_millis
from internal.errors import Conflict
from internal.rdb.keys import Keys
from internal.rdb.scripts import Reply, Script, load_lua

_ADD = Script(load_lua("internal.access", "lua/add"))
_USE = Script(load_lua("internal.access", "lua/use"))
_REMOVE = Script(load_lua("internal.access", "lua/remove"))

MOST_TOKENS = 1000
"""Of one tenant."""
_SECONDS_BETWEEN_NOTES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a token stands for, when it is used."""

    tenant: str
    name: str
    scopes: frozenset[str]
    expires_at: datetime | None


class TokenStore:
    """Reads and writes by the hash of a token; Redis' errors pass through."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def add(self, token: ApiToken, digest: str) -> ApiToken:
        """
        Keep *token*; returns it with the time of Redis' clock.

        Raises:
            Conflict: the tenant has a token of this name, or 1,000 tokens.
        """
        where = [self._keys.prefix, self._keys.token(digest), self._keys.tokens(token.tenant)]
        fields = _fields(token)
        expires = fields.get("expires_at", "")
        flat = [part for pair in fields.items() for part in pair]
        reply: Reply = await _ADD(
            self._redis, where, [token.name, digest, MOST_TOKENS, expires, *flat]
        )
        match reply:
            case ["ok", millis]:
                return replace(token, created_at=from_millis(millis))
            case ["taken"]:
                raise Conflict(f"There is a token with the name {token.name}; revoke it first.")
            case _:
                raise Conflict(f"A tenant has at most {MOST_TOKENS} tokens; revoke some.")

    async def use(self, digest: str) -> Rights | None:
        """What the token may do, noting that it was used; None for one that is not known."""
        reply: list[str] = await _USE(
            self._redis, [self._keys.token(digest)], [_SECONDS_BETWEEN_NOTES]
        )
        if not reply:
            return None
        tenant, name, scopes, expires = reply
        return Rights(
            tenant=tenant,
            name=name,
            scopes=including(scopes.split()),
            expires_at=from_millis(int(expires)) if expires else None,
        )

    async def list(self, tenant: str) -> list[ApiToken]:
        """The tokens of a tenant by name, without the expired ones."""
        index = cast("dict[str, str]", await self._redis.hgetall(self._keys.tokens(tenant)))
        async with self._redis.pipeline(transaction=False) as pipe:
            for _, digest in sorted(index.items()):
                pipe.hgetall(self._keys.token(digest))
            found = cast("list[dict[str, str]]", await pipe.execute())
        return [_token(fields) for fields in found if fields]

    async def find(self, tenant: str, name: str) -> str | None:
        """The hash of the token with this name, or None."""
        digest = cast("str | None", await self._redis.hget(self._keys.tokens(tenant), name))
        if digest is None or not await self._redis.exists(self._keys.token(digest)):
            return None
        return digest

    async def remove(self, tenant: str, name: str, digest: str) -> None:
        """Forget the token that `find` gave; nothing happens when it is gone already."""
        where = [self._keys.token(digest), self._keys.tokens(tenant)]
        await _REMOVE(self._redis, where, [name, digest])


def _fields(token: ApiToken) -> dict[str, str]:
    fields = {
        "tenant": token.tenant,
        "name": token.name,
        "scopes": " ".join(scope for scope in Scope if scope in token.scopes),
        "created_by": token.created_by,
    }
    if token.expires_at is not None:
        fields["expires_at"] = str(int(token.expires_at.timestamp() * 1000))
    return fields


def _token(fields: Mapping[str, str]) -> ApiToken:
    def moment(name: str) -> datetime | None:
        return from_millis(int(fields[name])) if name in fields else None

    return ApiToken(
        tenant=fields["tenant"],
        name=fields["name"],
        scopes=including(fields["scopes"].split()),
        created_at=from_millis(int(fields["created_at"])),
        created_by=fields["created_by"],
        expires_at=moment("expires_at"),
        last_used_at=moment("last_used_at"),
    )
