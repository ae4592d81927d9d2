"""
One span per request of the API, as part of the caller's trace when it names one.

It stands behind the token: what strangers send is neither recorded nor continued. Streams and what
machines ask every few seconds (health, metrics) have no span.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from internal.errors import CodeforgeError
from internal.server.problem import status_of
from internal.telemetry import semconv
from internal.telemetry.metrics import known_method
from internal.telemetry.tracing import Kind, Span, continue_from, current_trace_id, span

_HEADER = b"traceparent"


class Tracing:
    """Around the endpoint of one route; *template* names the span."""

    def __init__(self, app: ASGIApp, *, template: str) -> None:
        self._app = app
        self._template = template

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = known_method(scope["method"])
        refusal: CodeforgeError | None = None
        with (
            continue_from(_sent(scope)),
            span(
                f"{method} {self._template}",
                Kind.SERVER,
                **{
                    semconv.HTTP_METHOD: method,
                    semconv.HTTP_ROUTE: self._template,
                    semconv.REQUEST_ID: scope.get("request_id"),
                },
            ) as current,
        ):
            scope["trace_id"] = current_trace_id()  # for the access log

            async def watch(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _tell(current, message["status"])
                await send(message)

            try:
                await self._app(scope, receive, watch)
            except CodeforgeError as error:  # its answer is made further out
                _tell(current, status_of(error))
                refusal = error
        if refusal is not None:
            raise refusal


def _tell(current: Span, status: int) -> None:
    current.set(**{semconv.HTTP_STATUS: status})
    if status >= 500:  # what the client did wrong is no failure of ours
        current.fail(str(status))


def _sent(scope: Scope) -> str | None:
    """The caller's `traceparent`; two of them are none."""
    values = [value for name, value in scope["headers"] if name == _HEADER]
    return values[0].decode("latin-1") if len(values) == 1 else None
