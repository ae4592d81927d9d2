"""One error, one body: every failure of the HTTP edge as status and JSON, from one table."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from internal.errors import (
    BadRequest,
    CodeforgeError,
    Conflict,
    DiskFull,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    PolicyDenied,
    RateLimited,
    TimedOut,
    Unauthorized,
    Unavailable,
    UpstreamFailed,
)
from internal.server.errors import (
    MethodNotAllowed,
    PayloadTooLarge,
    SlowRequest,
    UnsupportedMediaType,
)

_STATUS: tuple[tuple[type[CodeforgeError], int], ...] = (
    (Invalid, 400),
    (BadRequest, 400),
    (PolicyDenied, 400),
    (Unauthorized, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (MethodNotAllowed, 405),
    (SlowRequest, 408),
    (Conflict, 409),
    (Gone, 410),
    (PayloadTooLarge, 413),
    (UnsupportedMediaType, 415),
    (RateLimited, 429),
    (UpstreamFailed, 502),
    (Unavailable, 503),
    (DiskFull, 503),
    (TimedOut, 504),
)


def status_of(error: CodeforgeError) -> int:
    """The HTTP status of an error; 500 for one that no caller can act on."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_body(error: CodeforgeError) -> dict[str, Any]:
    """
    The error as clients see it, without the request id: `error`, `message`, `fields`, and the
    members that a narrower error adds.
    """
    body: dict[str, Any] = {"error": error.error_code, "message": error.message, **error.details}
    if isinstance(error, Invalid) and error.fields:
        body["fields"] = error.fields
    return body


def problem_response(error: CodeforgeError, request_id: str) -> Response:
    """The answer to a request that failed."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable | RateLimited):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed
    body = problem_body(error) | {"request_id": request_id}
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(content, status, headers, "application/json")


INTERNAL = CodeforgeError("Something failed inside the server; its log has this request_id.")
"""What a client is told about an error that nobody expected."""
