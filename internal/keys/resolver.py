"""
Which credential a run uses: the request's own, else a registered key, else the environment's.

Only workers resolve, at the moment of use. What the request asks for by name is used or the run
fails; nothing else is tried in its stead. A default for a git host is never guessed: it is the only
key that fits the place, or the one among them that is named like its provider. For a model any of
its provider's keys does, so there it is a list in a fixed order, and a run whose first key has no
quota takes the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from internal.clock import Clock
from internal.crypto.box import Box, SealBroken
from internal.keys.errors import KeyUnusable
from internal.keys.model import (
    GIT_PROVIDERS,
    MODEL_PROVIDERS,
    GitPlace,
    RegisteredKey,
    git_place,
    is_expired,
    key_place,
    refusal,
)
from internal.keys.store import KeyStore, StoredKey

log = structlog.get_logger(__name__)

VARIABLES: Mapping[str, str] = {
    "github": "GITHUB_TOKEN",
    "gitlab": "GITLAB_TOKEN",
    "gitea": "GITEA_TOKEN",
    "bitbucket": "BITBUCKET_TOKEN",
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
    "google": "GEMINI_API_KEY",
}
"""Provider to the worker's own variable."""

_OPERATOR = "default"
"""The tenant whose tasks may use what the operator put into the environment."""
_USED_WITHIN = timedelta(minutes=1)
"""`last_used_at` is as exact as this, so that a busy key is not written at every use."""
_MOST_MODEL_KEYS = 16
"""That one run may choose among; each is opened for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """
    A credential in clear: never logged, stored, or sent to another place than it was asked for.

    `source` is `inline`, `key:<name>`, `default:<name>` or `environment`; `base_url` and `provider`
    are those of the registered key.
    """

    value: str = field(repr=False)
    source: str
    base_url: str | None = None
    provider: str | None = None
    registered: RegisteredKey | None = None


class KeyResolver:
    """
    Chooses and opens. *environment* is the worker's own.

    Every method raises Unavailable when Redis is away, and SealBroken when the chosen record does
    not open.
    """

    def __init__(
        self, store: KeyStore, box: Box, clock: Clock, environment: Mapping[str, str]
    ) -> None:
        self._store = store
        self._box = box
        self._clock = clock
        self._environment = {
            provider: value
            for provider, name in VARIABLES.items()
            if (value := environment.get(name))
        }

    async def git_token(
        self,
        tenant: str,
        provider: str | None,
        host_url: str,
        *,
        inline: str | None,
        provider_key: str | None,
        repository: str = "",
    ) -> Resolved | None:
        """
        The token for a repository's host, or None when nobody has one.

        *host_url* is the host's http(s) address, empty for a repository on a disk; *provider* whose
        API it speaks, if that is known; *repository* the path there, without `.git`.

        Raises:
            KeyUnusable: *provider_key* is gone, has expired, or is for another place.
        """
        if inline:
            return Resolved(value=inline, source="inline")
        place = git_place(host_url, repository, provider)
        now = self._clock.now()
        if provider_key:
            return await self._named(tenant, provider_key, place, now)
        if not host_url:
            return None
        fitting = [
            stored
            for stored in await self._store.list(tenant)
            if refusal(stored.key, place, now) is None
        ]
        chosen = _default(fitting)
        if chosen is not None:
            return await self._open(tenant, chosen, f"default:{chosen.key.name}", now)
        if place.origin.startswith("https://") and provider in GIT_PROVIDERS:
            return self._of_environment(tenant, provider)
        return None

    async def model_keys(
        self, tenant: str, provider: str, *, inline: str | None
    ) -> tuple[Resolved, ...]:
        """
        The keys for a model provider (`anthropic`, `openai`, `google`), the one to use first first.

        An *inline* one stands alone. Else the registered ones, that named like the provider, then
        the oldest, at most 16; then the environment's. One that does not open is left out while
        another one does. Tell `used` which one it was.
        """
        if inline:
            return (Resolved(value=inline, source="inline"),)
        if provider not in MODEL_PROVIDERS:
            return ()
        now = self._clock.now()
        usable = [
            stored
            for stored in await self._store.list(tenant)
            if stored.key.provider == provider and not is_expired(stored.key, now)
        ]
        usable.sort(key=lambda stored: stored.key.name != provider)  # stable: the oldest first
        found = self._unseal_some(tenant, usable[:_MOST_MODEL_KEYS])
        environment = self._of_environment(tenant, provider)
        return (*found, environment) if environment else found

    async def used(self, tenant: str, key: Resolved) -> None:
        """Remember that a run uses *key*; nothing is remembered of one that is not registered."""
        if key.registered is not None:
            await self._touch(tenant, key.registered, self._clock.now())

    def _unseal_some(self, tenant: str, keys: Sequence[StoredKey]) -> tuple[Resolved, ...]:
        found: list[Resolved] = []
        broken: SealBroken | None = None
        for stored in keys:
            try:
                found.append(self._unseal(tenant, stored, f"default:{stored.key.name}"))
            except SealBroken as error:
                log.warning("keys.unreadable", key=stored.key.name, error=error.message)
                broken = error
        if broken is not None and not found:
            raise broken
        return tuple(found)

    async def _named(self, tenant: str, name: str, place: GitPlace, now: datetime) -> Resolved:
        stored = await self._store.find(tenant, name)
        if stored is None:
            raise KeyUnusable(f"There is no key named {name} any more.")
        why = refusal(stored.key, place, now)
        if why is not None:
            raise KeyUnusable(f"The key {name} {why}.")
        return await self._open(tenant, stored, f"key:{name}", now)

    async def _open(self, tenant: str, stored: StoredKey, source: str, now: datetime) -> Resolved:
        found = self._unseal(tenant, stored, source)
        await self._touch(tenant, stored.key, now)
        return found

    def _unseal(self, tenant: str, stored: StoredKey, source: str) -> Resolved:
        key = stored.key
        return Resolved(
            value=self._box.open(tenant, key_place(key.name), stored.sealed),
            source=source,
            base_url=key.base_url,
            provider=key.provider.value,
            registered=key,
        )

    async def _touch(self, tenant: str, key: RegisteredKey, now: datetime) -> None:
        if key.last_used_at is None or now - key.last_used_at > _USED_WITHIN:
            await self._store.touch(tenant, key.name)

    def _of_environment(self, tenant: str, provider: str | None) -> Resolved | None:
        value = self._environment.get(provider or "") if tenant == _OPERATOR else None
        return Resolved(value=value, source="environment") if value else None


def _default(fitting: Sequence[StoredKey]) -> StoredKey | None:
    """The only one, or the one named like its provider; None rather than a guess."""
    if len(fitting) == 1:
        return fitting[0]
    return next((one for one in fitting if one.key.name == one.key.provider), None)
