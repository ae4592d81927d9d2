"""
The keys of each tenant: register, look at, erase. The door for the server.

A value goes in and is sealed at once; nothing here gives it back. Only the worker opens one, at
the moment of use (`internal.keys.resolver`).
"""

from __future__ import annotations

from internal.clock import Clock, from_millis
from internal.crypto.box import Box, kid_of
from internal.errors import Conflict, NotFound
from internal.keys.errors import KeyUnusable
from internal.keys.model import (
    MAX_KEYS,
    GitPlace,
    NewKey,
    RegisteredKey,
    hint_of,
    key_place,
    refusal,
)
from internal.keys.store import KeyStore, StoredKey

_REVISION = 1  # a value never changes under its name: it is erased, and another one is registered


class KeyRegistry:
    """All keys. Every method raises Unavailable when Redis is away."""

    def __init__(self, store: KeyStore, box: Box, clock: Clock) -> None:
        self._store = store
        self._box = box
        self._clock = clock

    async def create(self, tenant: str, new: NewKey, token: str) -> RegisteredKey:
        """
        Register *token*; it is sealed and stored when this returns.

        Raises:
            Conflict: the tenant has a key of that name, or 1,000 keys.
        """
        sealed = self._box.seal(tenant, key_place(new.name), _REVISION, token)
        hint = hint_of(token)
        word, created = await self._store.create(tenant, new, hint=hint, sealed=sealed)
        if word == "exists":
            raise Conflict(f"There is a key named {new.name} already; remove it first.")
        if word == "full":
            raise Conflict(f"There are {MAX_KEYS} keys already; remove some first.")
        return RegisteredKey(
            name=new.name,
            provider=new.provider,
            hint=hint,
            kid=kid_of(sealed) or "",
            created_at=from_millis(created),
            base_url=new.base_url,
            scope=new.scope,
            expires_at=new.expires_at,
        )

    async def list(self, tenant: str) -> list[RegisteredKey]:
        """All keys of a tenant, oldest first."""
        return [stored.key for stored in await self._store.list(tenant)]

    async def get(self, tenant: str, name: str) -> RegisteredKey:
        """The key. Raises NotFound."""
        return (await self._stored(tenant, name)).key

    async def delete(self, tenant: str, name: str) -> None:
        """Erase a key; runs that have it in hand finish with it. Raises NotFound."""
        if not await self._store.delete(tenant, name):
            raise NotFound("There is no such key.")

    async def check(self, tenant: str, name: str, place: GitPlace) -> None:
        """
        Whether a task for *place* may name this key, as far as is known now.

        Raises:
            KeyUnusable: there is none, it has expired, or it is for another place.
        """
        stored = await self._store.find(tenant, name)
        if stored is None:
            raise KeyUnusable(f"There is no key named {name}.")
        why = refusal(stored.key, place, self._clock.now())
        if why is not None:
            raise KeyUnusable(f"The key {name} {why}.")

    async def open(self, tenant: str, name: str) -> tuple[RegisteredKey, str]:
        """
        The key with its value: for a worker that asks the provider about it.

        Raises:
            NotFound; SealBroken: the record does not open, for example under an unknown master key.
        """
        stored = await self._stored(tenant, name)
        return stored.key, self._box.open(tenant, key_place(name), stored.sealed)

    async def _stored(self, tenant: str, name: str) -> StoredKey:
        stored = await self._store.find(tenant, name)
        if stored is None:
            raise NotFound("There is no such key.")
        return stored
