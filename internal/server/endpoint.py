"""One path with its methods: wrong ones, what each asks of its caller, where metrics find it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from internal.server.errors import MethodNotAllowed

Handler = Callable[[Request], Awaitable[ASGIApp]]
"""Takes a request, returns the response; raises `internal.errors`."""

Check = Callable[[Scope], Awaitable[None]]
"""Looks at a request before its handler does; raises what speaks against it."""


class Endpoint:
    """
    An ASGI application for one route. HEAD is GET whose body the HTTP server leaves out.

    The checks of a method pass in their order before its handler is called.
    """

    def __init__(
        self,
        template: str,
        handlers: Mapping[str, Handler],
        checks: Mapping[str, Sequence[Check]] | None = None,
    ) -> None:
        self._template = template
        self._handlers = dict(handlers)
        self._checks = dict(checks or {})
        if "GET" in handlers:
            self._handlers["HEAD"] = handlers["GET"]
            self._checks["HEAD"] = self._checks.get("GET", ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route_template"] = self._template
        method: str = scope["method"]
        handler = self._handlers.get(method)
        if handler is None:
            raise MethodNotAllowed(", ".join(sorted(self._handlers)))
        for check in self._checks.get(method, ()):
            await check(scope)
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)
