"""
From a token to its caller: the configured token, then a small memory, then Redis.

What Redis said of a token is believed for 5 s, so a busy client costs one question each 5 s and a
revoked token dies within 5 s on every server (at once on the one that revoked it). Unknown tokens
are not remembered, so strangers cannot crowd out those who may come in. The configured token needs
no Redis: with it an operator can still ask a server what is wrong.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from redis.exceptions import RedisError

from internal.access.model import OPERATOR_TENANT, Caller, Scope, including
from internal.access.store import Rights, TokenStore
from internal.clock import Clock
from internal.crypto.bearer import is_token, is_well_formed, token_hash
from internal.errors import Unauthorized

CONFIGURED = Caller(OPERATOR_TENANT, "server.auth_token", including([Scope.ADMIN]))
"""Whoever sends the token of `server.auth_token`. No other token can have its name."""

BELIEVED_SECONDS = 5
_MOST_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class _Memory:
    rights: Rights
    until: float
    """On the monotonic clock."""


class TokenResolver:
    """
    *configured* is the token of `server.auth_token`; ValueError when it is empty.

    *recheck_seconds* is how often `until_refused` asks.
    """

    def __init__(
        self, configured: str, store: TokenStore, clock: Clock, *, recheck_seconds: float = 15
    ) -> None:
        if not configured:
            raise ValueError("the server needs a token")
        self._configured = token_hash(configured)
        self._store = store
        self._clock = clock
        self._recheck_seconds = recheck_seconds
        self._memory: OrderedDict[str, _Memory] = OrderedDict()

    async def identify(self, token: str) -> Caller:
        """
        Who calls with *token*.

        Raises:
            Unauthorized: nobody; it never was a token, was revoked, or has expired.
        """
        if is_token(token, self._configured):
            return CONFIGURED
        rights = await self._rights(token_hash(token)) if is_well_formed(token) else None
        if rights is None or not self._is_valid(rights):
            raise Unauthorized("This token is not known: it was misspelt, revoked, or has expired.")
        return Caller(rights.tenant, rights.name, rights.scopes)

    async def until_refused(self, token: str) -> None:
        """
        Return when *token*, which was known, no longer is.

        For answers that go on for hours. While Redis is away nobody is refused: what was begun
        with a good token outlives the outage.
        """
        while True:
            await asyncio.sleep(self._recheck_seconds)
            try:
                await self.identify(token)
            except Unauthorized:
                return
            except RedisError:
                continue

    def forget(self, digest: str) -> None:
        """Ask Redis again when the token with this hash comes next."""
        self._memory.pop(digest, None)

    async def _rights(self, digest: str) -> Rights | None:
        known = self._memory.get(digest)
        asked_at = self._clock.monotonic()
        if known is not None and asked_at < known.until:
            return known.rights
        rights = await self._store.use(digest)
        if rights is None:
            self.forget(digest)
            return None
        self._memory[digest] = _Memory(rights, asked_at + BELIEVED_SECONDS)
        self._memory.move_to_end(digest)
        while len(self._memory) > _MOST_REMEMBERED:
            self._memory.popitem(last=False)
        return rights

    def _is_valid(self, rights: Rights) -> bool:
        return rights.expires_at is None or self._clock.now() < rights.expires_at
