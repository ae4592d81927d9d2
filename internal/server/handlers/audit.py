"""The audit log of one tenant, newest first."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from internal.access.audit import AuditEntry
from internal.access.registry import tenant_for
from internal.clock import rfc3339
from internal.server.deps import ServerDeps
from internal.server.document import json_response
from internal.server.query import Query, page_limit, read_entry_id, read_tenant, read_time
from internal.server.request import caller_of


class AuditHandlers:
    """The handler, over the audit log."""

    def __init__(self, deps: ServerDeps) -> None:
        self._audit = deps.audit

    async def list(self, request: Request) -> Response:
        """One page; `next_cursor` is null on the last."""
        query = Query(request)
        since = query.one("since", read_time)
        before = query.one("cursor", read_entry_id)
        limit = page_limit(query)
        tenant = query.one("tenant", read_tenant)
        query.finish()
        owner = tenant_for(caller_of(request), tenant)
        # One more than asked for tells whether there is a next page.
        found = await self._audit.list(owner, limit=limit + 1, since=since, before=before)
        entries = found[:limit]
        cursor = entries[-1].id if len(found) > limit else None
        return json_response({"entries": list(map(_document, entries)), "next_cursor": cursor})


def _document(entry: AuditEntry) -> dict[str, object]:
    return {
        "id": entry.id,
        "at": rfc3339(entry.at),
        "token": entry.token,
        "address": entry.address,
        "request_id": entry.request_id,
        "action": entry.action,
        "object": entry.object,
        "details": entry.details,
    }
