"""Counts, times and logs every request by its route's template, never by its raw path."""

from __future__ import annotations

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from internal.server.deps import ObserveRequest

log = structlog.get_logger(__name__)

_UNMATCHED = "unknown"  # version A's word
_QUIET_ROUTES = frozenset({"/health", "/ready", "/metrics"})
"""Asked every few seconds by machines: logged at debug."""


class Metrics:
    """Reads the template from the scope (`route_template`), where the endpoint leaves it."""

    def __init__(self, app: ASGIApp, *, observe: ObserveRequest) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 500  # when nothing is sent at all

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            seconds = time.monotonic() - started
            route: str = scope.get("route_template", _UNMATCHED)
            method: str = scope["method"]
            self._observe(method, route, status, seconds)
            trace_id: str | None = scope.get("trace_id")
            facts = log if trace_id is None else log.bind(trace_id=trace_id)
            write = facts.debug if route in _QUIET_ROUTES else facts.info
            write(
                "http.request",
                method=method,
                route=route,
                status=status,
                seconds=round(seconds, 4),
            )
