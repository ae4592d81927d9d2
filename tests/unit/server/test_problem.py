"""One error, one body."""

from __future__ import annotations

import json

import pytest

from internal import errors
from internal.server import errors as http
from internal.server.problem import problem_response, status_of


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.Invalid("no", fields={"a": "b"}), 400, "validation_error"),
        (errors.NotAvailable("no"), 400, "not_available"),
        (errors.BadRequest("no"), 400, "bad_request"),
        (errors.Unauthorized("no"), 401, "unauthorized"),
        (errors.Forbidden("no"), 403, "forbidden"),
        (errors.NotFound("no"), 404, "not_found"),
        (http.MethodNotAllowed("GET"), 405, "method_not_allowed"),
        (http.SlowRequest("no"), 408, "timeout"),
        (errors.Conflict("no", code="idempotency_conflict"), 409, "idempotency_conflict"),
        (errors.Gone("no"), 410, "gone"),
        (http.PayloadTooLarge("no"), 413, "payload_too_large"),
        (http.UnsupportedMediaType("no"), 415, "unsupported_media_type"),
        (errors.Unavailable("no", retry_after_seconds=7), 503, "unavailable"),
        (errors.TimedOut("no"), 504, "timeout"),
        (errors.Fenced("no"), 500, "fenced"),
    ],
)
def test_every_error_has_its_status_and_the_one_body(
    error: errors.CodeforgeError, status: int, code: str
) -> None:
    """
    The status is for machines on the way, the code for the caller's program.
    """
    response = problem_response(error, "r1")

    body = json.loads(bytes(response.body))
    assert response.status_code == status == status_of(error)
    assert response.headers["content-type"] == "application/json"
    assert (body.pop("error"), body.pop("request_id")) == (code, "r1")
    assert body.pop("message") == error.message
    assert body == ({"fields": {"a": "b"}} if code == "validation_error" else {})


def test_headers_that_belong_to_a_status_are_sent() -> None:
    """
    A client that waits is told how long, a wrong method which ones are right.
    """
    away = problem_response(errors.Unavailable("no", retry_after_seconds=7), "r")
    wrong = problem_response(http.MethodNotAllowed("GET, POST"), "r")
    stranger = problem_response(errors.Unauthorized("no"), "r")

    assert away.headers["retry-after"] == "7"
    assert wrong.headers["allow"] == "GET, POST"
    assert stranger.headers["www-authenticate"] == "Bearer"
