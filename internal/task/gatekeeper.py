"""
The gates as an operator sees them: how each stands, and opening one by hand.

Only gates that say something are listed: shut ones, those at which something waits, and those that
have a limit of their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis

from internal.clock import from_millis
from internal.control.gate import GateKind, kind_of
from internal.errors import NotFound
from internal.ids import random_token
from internal.rdb.keys import Keys
from internal.task import scripts

_LIMITS = frozenset({"tenant", "rate", "budget"})
"""First words of keys that only limits have; `repo` and `agent` are scopes of levels, too."""
_MOST = 1000
"""Gates of each sort in one list."""


class Stand(StrEnum):
    """Whether a task may pass now."""

    OPEN = "open"
    SHUT = "shut"
    HALF_OPEN = "half_open"
    """An `until` gate behind its time: one task may go, or has gone, ahead of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStand:
    """One gate, as it stands now."""

    key: str
    kind: GateKind
    stand: Stand
    waiting: int
    """What waits at it: tasks, or a whole tenant per kind of list."""
    opens_at: datetime | None = None
    """When it has room again; None when it has, or when nobody knows."""
    limit: float | None = None
    """Of a cap or a rate."""
    held: int | None = None
    """Of a cap: places taken."""
    why: str | None = None
    """Of a gate that is not open, as what shut it said."""
    since: datetime | None = None
    times: int | None = None
    """How often it was shut since it was last open."""
    repo_url: str | None = None
    """Of a repository's gate: as a task that waits or ran there has it, where that is known."""


class Gatekeeper:
    """*tenant* is whose gates are meant, beside those all share; None: everybody's."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def list(self, tenant: str | None) -> Sequence[GateStand]:
        """The gates that say something, by key; at most 1,000 of each sort."""
        reply: list[str] = await scripts.SURVEY(
            self._redis, [self._keys.prefix], [_MOST, tenant or ""]
        )
        return [_stand(json.loads(text)) for text in reply]

    async def release(self, key: str, tenant: str | None) -> None:
        """
        Open the `until` gate *key*; what waits there goes on within a second.

        Raises:
            NotFound: no such gate of *tenant* is shut. A shared one is nobody's but an operator's.
                A limit (a cap, a rate, a budget) is not released but raised.
        """
        if key.partition(":")[0] in _LIMITS:
            raise NotFound(
                "This is a limit, which is not released: raise the limit in the settings."
            )
        args = [key, random_token(), tenant or ""]
        reply = await scripts.RELEASE(self._redis, [self._keys.prefix], args)
        if reply[0] == "missing":
            raise NotFound("Nothing of this name is shut; GET /api/v1/control lists what is.")


def _stand(row: dict[str, Any]) -> GateStand:
    room = row.get("room")
    stand = Stand.SHUT if room == 0 else Stand.OPEN
    if row.get("since") is not None and row.get("opens") is None and row["until"] != "released":
        stand = Stand.HALF_OPEN
    return GateStand(
        key=row["key"],
        kind=kind_of(row["key"]),
        stand=stand,
        waiting=row["waiting"],
        opens_at=_time(row.get("opens")),
        limit=row.get("limit"),
        held=row.get("held"),
        why=row.get("why"),
        since=_time(row.get("since")),
        times=row.get("times"),
        repo_url=row.get("repo_url"),
    )


def _time(millis: float | None) -> datetime | None:
    return None if millis is None else from_millis(int(millis))
