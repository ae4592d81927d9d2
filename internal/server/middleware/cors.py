"""
Web pages of other origins: none may call the API, unless the operator names them.

A page sends its token itself (no cookies are involved), so an origin that is let in can do no more
than the tokens it has. The preflight carries no token and is answered before one is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

_METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
_TAKEN = (
    "Authorization",
    "X-API-Key",
    "Idempotency-Key",
    "Last-Event-ID",
    "X-Request-ID",
    "traceparent",
    "tracestate",
)
_SHOWN = (
    "Location",
    "Retry-After",
    "X-Request-ID",
    "RateLimit",
    "RateLimit-Limit",
    "RateLimit-Policy",
    "RateLimit-Remaining",
    "RateLimit-Reset",
)


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """*app* for pages of *origins* (`*`: any) too; without origins, *app* itself."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=_TAKEN,
        expose_headers=_SHOWN,
    )
