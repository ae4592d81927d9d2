"""
The audit log: who did what, to which object, when; one stream per tenant.

An entry is written after the act succeeded. When it cannot be written, the act stands, and that is
counted. The process' log has every entry as well: a stream has an end, and who may act may fill it
to be rid of an entry. Secrets and prompts never come in here.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from internal.access.model import Caller
from internal.clock import Clock, from_millis
from internal.ids import random_token
from internal.rdb.keys import Keys
from internal.rdb.scripts import Script, load_lua

log = structlog.get_logger(__name__)

_RECORD = Script(load_lua("internal.access", "lua/record"))

KEPT_ENTRIES = 10_000
"""Per tenant; about 4 MB."""
KEPT_DAYS = 90
_MAX_DETAIL = 200

Detail = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act. `id` sorts by time and is the cursor behind it; `details` never hold a secret."""

    id: str
    at: datetime
    token: str
    address: str
    request_id: str
    action: str
    object: str
    details: dict[str, Detail]


class AuditLog:
    """Writes and reads; *count_lost* is called for each entry that could not be written."""

    def __init__(
        self, redis: Redis, keys: Keys, clock: Clock, *, count_lost: Callable[[], None]
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._clock = clock
        self._count_lost = count_lost

    async def record(
        self,
        caller: Caller,
        action: str,
        object: str,  # noqa: A002 -- the field's name in every audit log
        **details: Detail,
    ) -> None:
        """
        Note that *caller* did *action* (`task.submit`, `key.delete`) to the object with that id.

        Raises nothing: an act that was done is not undone because its note failed.
        """
        entry = {
            "token": caller.name,
            "address": caller.address,
            "request_id": caller.request_id,
            "action": action,
            "object": object,
            "details": {name: _short(value) for name, value in details.items()},
        }
        tenant = caller.tenant
        where = [self._keys.audit(tenant), self._keys.audit_mark(tenant, random_token())]
        try:
            await _RECORD(self._redis, where, [json.dumps(entry), KEPT_ENTRIES, KEPT_DAYS])
        except RedisError as error:
            self._count_lost()
            log.error("audit.lost", tenant=tenant, entry=entry, reason=str(error))  # noqa: TRY400
        else:
            log.info("audit.recorded", tenant=tenant, entry=entry)

    async def list(
        self, tenant: str, *, limit: int, since: datetime | None = None, before: str | None = None
    ) -> list[AuditEntry]:
        """At most *limit* entries, newest first; *before* is the id of the last one known."""
        if before and not int(before.replace("-", "")):
            return []  # Redis refuses the range in front of its first id, 0-0
        oldest = self._clock.now() - timedelta(days=KEPT_DAYS)
        least = str(int(max(since or oldest, oldest).timestamp() * 1000))
        rows: Any = await self._redis.xrevrange(
            self._keys.audit(tenant), max=f"({before}" if before else "+", min=least, count=limit
        )
        return [_entry(number, fields) for number, fields in rows]


def _short(value: Detail) -> Detail:
    return value[:_MAX_DETAIL] if isinstance(value, str) else value


def _entry(number: str, fields: dict[str, str]) -> AuditEntry:
    stored: dict[str, Any] = json.loads(fields["e"])
    return AuditEntry(id=number, at=from_millis(int(number.partition("-")[0])), **stored)
