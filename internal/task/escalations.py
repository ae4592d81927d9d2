"""
Levels of agents, repositories and workers as they are now, and their release.

They are raised by SIGNAL and end by themselves in REAP; docs/control.md says what each does.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from redis.asyncio import Redis

from internal.clock import from_millis
from internal.control.escalation import Level, ScopeKind, Signal
from internal.ids import random_token
from internal.rdb.keys import Keys
from internal.task import scripts

_MOST = 1000
"""Levels that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalated:
    """The level of one scope."""

    scope: str
    level: Level
    reason: Signal
    """The signal that raised it last."""
    signals: int
    """How many of them lay in the window then."""
    since: datetime
    """When it got its first level."""
    changed_at: datetime
    repo_url: str | None = None
    """Of a repository, as the task had it that raised its level."""

    @property
    def kind(self) -> ScopeKind:
        """What it is the level of."""
        return ScopeKind(self.scope.partition(":")[0])


class Escalations:
    """Reads and releases levels. Redis' errors pass through."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def list(self) -> Sequence[Escalated]:
        """All of the deployment, by scope; at most 1,000, those that only a person ends first."""
        key = self._keys.escalations()
        scopes = cast("list[str]", await self._redis.zrange(key, 0, _MOST - 1, desc=True))
        async with self._redis.pipeline(transaction=False) as pipe:
            for scope in sorted(scopes):
                pipe.hgetall(self._keys.escalation(scope))
            found = cast("list[dict[str, str]]", await pipe.execute())
        return [
            _escalated(scope, fields)
            for scope, fields in zip(sorted(scopes), found, strict=True)
            if fields
        ]

    async def release(self, scope: str) -> bool:
        """End the level of *scope*, which begins anew without signals; False: it had none."""
        args = [scope, random_token()]
        reply = await scripts.CALM(self._redis, [self._keys.prefix], args)
        return bool(reply[0] == "ok")


def scope_of(name: str) -> str:
    """The scope that *name* means: itself, or that of the gate by which it is isolated."""
    return name.removeprefix("hold:")


def is_of(scope: str, tenant: str | None) -> bool:
    """Whether *tenant* may release it: its own repositories; None, an operator, everything."""
    return tenant is None or scope.startswith(f"repo:{tenant}:")


def is_seen_by(scope: str, tenant: str | None) -> bool:
    """Whether *tenant* may see it: also what its runs share with those of others."""
    return is_of(scope, tenant) or scope.startswith("agent:")


def _escalated(scope: str, fields: dict[str, str]) -> Escalated:
    return Escalated(
        scope=scope,
        level=Level(fields["level"]),
        reason=Signal(fields["reason"]),
        signals=int(fields["signals"]),
        since=from_millis(int(fields["since"])),
        changed_at=from_millis(int(fields["at"])),
        repo_url=fields.get("repo_url"),
    )
