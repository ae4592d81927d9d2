"""No request takes longer than its limit; streams are left out, they have limits of their own."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from internal.errors import TimedOut


class Timeouts:
    """Ends what takes more than *seconds* as `TimedOut`; whether it was done is unknown then."""

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                await self._app(scope, receive, send)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimedOut(f"The request took longer than {self._seconds:g} s.") from error
