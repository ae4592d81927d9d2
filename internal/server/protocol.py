"""
HTTP on one connection: uvicorn's, with limits on what comes before an application can judge it.

uvicorn waits for the head of a request for ever and joins it without a limit, so one endless header
would hold the event loop, and silent connections would use up the sockets. A body needs no limit
here: it is read as fast as the application takes it, which limits its size and its time.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from internal.errors import BadRequest, CodeforgeError, Unavailable
from internal.ids import random_token
from internal.server.problem import problem_body, problem_response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send
    from uvicorn._types import ASGI3Application


_HEADERS_TOO_LARGE = "headers_too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may cost before its request is known."""

    head_bytes: int = 32 * 1024
    """Of the request line and headers; also of what stands around a body: trailers, extensions."""
    head_seconds: float = 15
    """From the opening of a connection, or the first byte after an answer, to the whole head."""
    max_connections: int = 10_000
    """Open at once, most of them streams; the ones above are answered 503."""


class Protocol(HttpToolsProtocol):
    """One connection; a subclass may have other `limits`."""

    limits: ClassVar[Limits] = Limits()

    _since_progress = 0
    """Bytes since a head was complete or a piece of a body came."""
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        if len(self.connections) > self.limits.max_connections:
            self.app = cast("ASGI3Application", _refuse_one_too_many)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        most = self.limits.head_bytes
        while data and not self.transport.is_closing():
            # In pieces that reach the limit and not beyond it, as the parser tells no positions.
            room = most - self._since_progress
            piece, data = data[:room], data[room:]
            self._since_progress += len(piece)
            super().data_received(piece)
            if self._since_progress >= most:
                message = f"The headers are larger than {most} bytes."
                self._refuse(CodeforgeError(message, code=_HEADERS_TOO_LARGE), 431)
        if self._is_between_requests() and self._head_timer is None:
            self._start_head_timer()

    def on_headers_complete(self) -> None:
        self._since_progress = 0
        self._stop_head_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._since_progress = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest(msg), 400)

    def _is_between_requests(self) -> bool:
        return (
            self.cycle is None  # type: ignore[redundant-expr]  # uvicorn's type hides its None
            or self.cycle.response_complete
        )

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_seconds, self.transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: CodeforgeError, status: int) -> None:
        """Answer when no other answer is under way, and end the connection."""
        if self.transport.is_closing():
            return
        if self._is_between_requests():
            self.transport.write(STATUS_LINE[status] + self._problem(error))
        self.transport.close()

    def _problem(self, error: CodeforgeError) -> bytes:
        request_id = random_token()
        content = json.dumps(problem_body(error) | {"request_id": request_id}).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
        ]
        return b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n" + content


async def _refuse_one_too_many(scope: Scope, receive: Receive, send: Send) -> None:
    request_id = random_token()
    error = Unavailable("This server has all the connections it can serve; try again later.")
    answer: Response = problem_response(error, request_id)
    answer.headers["Connection"] = "close"
    answer.headers["X-Request-ID"] = request_id
    await answer(scope, receive, send)
