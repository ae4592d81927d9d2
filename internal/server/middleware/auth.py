"""Who calls: the token of `Authorization: Bearer` or `X-API-Key`; what is unknown stays outside."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from internal.access import model as access
from internal.access.model import Caller
from internal.access.resolver import CONFIGURED, TokenResolver
from internal.errors import Forbidden, Unauthorized
from internal.server.endpoint import Check

__all__ = ["UNTIL_REFUSED", "Auth", "Caller", "needs"]

UNTIL_REFUSED = "until_refused"
"""
Where a long answer finds what returns when the token it began with is no longer known; not there
for the configured token, which nobody can revoke.
"""

_SCHEME = b"bearer "


class Auth:
    """
    Lets only known tokens in and puts the `caller` into the scope and the logs. It wraps the router
    of its paths, so an unknown path behind it is 401 for strangers and no spelling of a path
    avoids it.
    """

    def __init__(self, app: ASGIApp, *, callers: TokenResolver) -> None:
        self._app = app
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            token = _token(scope["headers"])
            caller = await self._callers.identify(token)
            if caller is not CONFIGURED:
                scope[UNTIL_REFUSED] = partial(self._callers.until_refused, token)
            structlog.contextvars.bind_contextvars(caller=f"{caller.tenant}/{caller.name}")
            address, _ = scope.get("client") or ("", 0)
            scope["caller"] = replace(caller, request_id=scope["request_id"], address=address)
        await self._app(scope, receive, send)


def _token(headers: list[tuple[bytes, bytes]]) -> str:
    token = b""
    for name, value in headers:
        if name == b"authorization" and value[: len(_SCHEME)].lower() == _SCHEME:
            token = value[len(_SCHEME) :].strip()
            break
        if name == b"x-api-key":
            token = value.strip()
    if not token:
        raise Unauthorized("This needs a token: send Authorization: Bearer <token>.")
    return token.decode(errors="surrogateescape")


def needs(wanted: access.Scope) -> Check:
    """The check that a caller has the scope *wanted*."""

    async def check(scope: Scope) -> None:
        caller: Caller = scope["caller"]
        if wanted not in caller.scopes:
            has = ", ".join(sorted(caller.scopes))
            raise Forbidden(f"This needs a token with the scope {wanted}; yours has {has}.")

    return check
