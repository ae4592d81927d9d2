"""
The HTTP application: the router inside the middleware that every request passes.

From the outside in: request id, metrics and access log, web pages of other origins, errors; then,
only for the API itself: token, body limit, time limit (`routes.build_router`). All of it is plain
ASGI.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from internal.server.deps import ServerDeps
from internal.server.middleware.cors import with_cors
from internal.server.middleware.errors import Errors
from internal.server.middleware.metrics import Metrics
from internal.server.middleware.ratelimit import RateLimitHeaders
from internal.server.middleware.requestid import RequestId
from internal.server.routes import build_router


def create_app(deps: ServerDeps) -> ASGIApp:
    """
    The application for any ASGI server; `internal.server.serve` runs it as it is meant to be run.

    The hub of *deps* must run beside it.
    """
    app = build_router(deps)
    app = RateLimitHeaders(Errors(app))
    app = with_cors(app, deps.cors_origins)
    app = Metrics(app, observe=deps.observe_request)
    return _Lifespan(RequestId(app))


class _Lifespan:
    """Nothing to start or stop here: what has a life is in the deps and owned by the wiring."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
