"""One path with its methods: the answer to a wrong method, and where metrics find the route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from internal.server.errors import MethodNotAllowed

Handler = Callable[[Request], Awaitable[ASGIApp]]
"""Takes a request, returns the response; raises `internal.errors`."""


class Endpoint:
    """An ASGI application for one route. HEAD is GET whose body the HTTP server leaves out."""

    def __init__(self, template: str, handlers: Mapping[str, Handler]) -> None:
        self._template = template
        self._handlers = dict(handlers)
        if "GET" in handlers:
            self._handlers["HEAD"] = handlers["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route_template"] = self._template
        handler = self._handlers.get(scope["method"])
        if handler is None:
            raise MethodNotAllowed(", ".join(sorted(self._handlers)))
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)
