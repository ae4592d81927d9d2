"""Every request has an id: the client's when it is well formed, else a new one; always returned."""

from __future__ import annotations

import re

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from internal.ids import random_token

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:/-]{1,128}\Z")
_HEADER = b"x-request-id"


class RequestId:
    """Puts the id into the scope (`request_id`), the logs of this request, and the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        request_id = given.decode() if _WELL_FORMED.match(given) else random_token()
        scope["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        header = (_HEADER, request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await self._app(scope, receive, send_with_id)
