"""Turns every exception of a request into the one error body; what nobody expected is logged."""

from __future__ import annotations

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from internal.errors import CodeforgeError
from internal.rdb.client import unavailable
from internal.server.problem import INTERNAL, problem_response, status_of

log = structlog.get_logger(__name__)


class Errors:
    """Redis' own errors become `Unavailable` here, so no handler has to think of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def watch(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            with unavailable():
                await self._app(scope, receive, watch)
        except CodeforgeError as error:
            problem = error
            if status_of(error) == 500:
                log.exception("http.failed", path=scope["path"])
                problem = INTERNAL
        except Exception:  # the last place where a bug can become an answer
            log.exception("http.failed", path=scope["path"])
            problem = INTERNAL
        else:
            return
        if has_started:  # the status is sent; the HTTP server cuts what stays incomplete
            return
        await problem_response(problem, scope["request_id"])(scope, receive, send)
