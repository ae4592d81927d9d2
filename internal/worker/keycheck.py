"""Answers `VERIFY_KEY`: asks the provider of a registered key whether it takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from internal.clock import Clock
from internal.egress.client import HttpClient
from internal.errors import Invalid, PolicyDenied, TimedOut, Unavailable
from internal.git.model import ProviderName
from internal.git.provider.base import ProviderError
from internal.git.provider.catalog import check_token
from internal.keys.model import GIT_PROVIDERS, MODEL_PROVIDERS, RegisteredKey, is_expired
from internal.keys.modelcheck import refuses
from internal.keys.registry import KeyRegistry
from internal.redact import KNOWN
from internal.task.ops import ANSWER_SECONDS

_ASK_SECONDS = ANSWER_SECONDS - 2
"""Behind it nobody waits for the answer any more."""


class KeyChecker:
    """Opens a key for one question, and forgets it."""

    def __init__(self, registry: KeyRegistry, http: HttpClient, clock: Clock) -> None:
        self._registry = registry
        self._http = http
        self._clock = clock

    async def answer(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        From `{tenant, name}` to `{ok, reason}`; *reason* is null when nothing is to be said.

        A provider that could not be asked has not said ok either; the reason tells.

        Raises:
            NotFound, SealBroken; Unavailable: Redis is away.
        """
        key, value = await self._registry.open(str(args["tenant"]), str(args["name"]))
        if is_expired(key, self._clock.now()):
            return {"ok": False, "reason": "it has expired"}
        with KNOWN.using(value):
            try:
                async with asyncio.timeout(_ASK_SECONDS):
                    ok, reason = await self._ask(key, value)
            except TimeoutError:
                ok, reason = False, f"{key.provider} did not answer in time"
            except (Invalid, PolicyDenied, ProviderError, TimedOut, Unavailable) as error:
                ok, reason = False, error.message
            return {"ok": ok, "reason": KNOWN.redact(reason) if reason else None}

    async def _ask(self, key: RegisteredKey, value: str) -> tuple[bool, str | None]:
        if key.provider in MODEL_PROVIDERS:
            why = await refuses(key.provider, value, key.base_url, self._http)
            return why is None, why
        if key.provider in GIT_PROVIDERS:
            name = ProviderName(key.provider)
            found = await check_token(name, base_url=key.base_url, token=value, http=self._http)
            return found.ok, found.reason
        return False, "a generic key cannot be verified: nobody knows whom to ask"
