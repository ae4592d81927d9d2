"""The events of one task: as a page, and as a stream that goes on."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from internal.server.deps import ServerDeps
from internal.server.document import json_response
from internal.server.middleware.auth import UNTIL_REFUSED
from internal.server.query import Query, read_choice, read_number
from internal.server.rawform import plain_form, raw_form
from internal.server.request import task_id_of, tenant_of
from internal.server.sse import EventStream, Transform
from internal.task.state import FINISHED

_PAGE, _MAX_PAGE = 200, 1000
_CURSOR = re.compile(r"[0-9]{1,15}\Z")


class EventHandlers:
    """The handlers, over the task service and the hub."""

    def __init__(self, deps: ServerDeps) -> None:
        self._tasks = deps.tasks
        self._hub = deps.hub

    async def page(self, request: Request) -> Response:
        """Events behind a number; `next` is the last number given, for the next call."""
        query = Query(request)
        after = query.one("after", read_number(0)) or 0
        limit = query.one("limit", read_number(1, _MAX_PAGE)) or _PAGE
        transform = _transform(query)
        query.finish()
        tenant, task = tenant_of(request), task_id_of(request)
        trimmed = (await self._tasks.get(tenant, task)).events_trimmed
        given: list[str] = []
        last = 0
        while len(given) < limit:
            wanted = limit - len(given)
            events = await self._tasks.events(tenant, task, after=after, limit=wanted)
            for event in events:
                after = event.number
                text = transform(event)
                if text is not None:
                    given.append(text)
                    last = event.number
            if len(events) < wanted:
                break
        told = f',"events_trimmed":{trimmed}' if trimmed else ""
        body = f'{{"events":[{",".join(given)}],"next":{last or "null"}{told}}}'
        return json_response(body.encode())

    async def stream(self, request: Request) -> ASGIApp:
        """The stream; 204 when the task is finished and the client has everything."""
        query = Query(request)
        transform = _transform(query)
        query.finish(ignore_others=True)  # clients of event streams add parameters of their own
        tenant, task_id = tenant_of(request), task_id_of(request)
        task = await self._tasks.get(tenant, task_id)
        cursor = _cursor(request)
        if task.status in FINISHED and cursor == task.last_event:
            return Response(status_code=204)
        connected = {"task_id": task_id, "status": task.status, "last_id": task.last_event}
        if task.events_trimmed:
            connected["events_trimmed"] = task.events_trimmed
        viewing = self._hub.follow(tenant, task_id, after=cursor)
        return EventStream(
            viewing,
            task=task_id,
            connected=connected,
            transform=transform,
            until_refused=request.scope.get(UNTIL_REFUSED),
        )


def _transform(query: Query) -> Transform:
    return raw_form if query.one("format", read_choice(["raw"])) else plain_form


def _cursor(request: Request) -> int:
    """Where the client is: `?after=`, else `Last-Event-ID`; what is no number is not there."""
    given = (request.query_params.get("after"), request.headers.get("last-event-id"))
    return next((int(text) for text in given if text and _CURSOR.match(text)), 0)
