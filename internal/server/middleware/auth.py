"""Who calls: the token of `Authorization: Bearer` or `X-API-Key`; what is unknown stays outside."""

from __future__ import annotations

import hmac
from dataclasses import replace
from hashlib import sha256

from starlette.types import ASGIApp, Receive, Scope, Send

from internal.access import model as access
from internal.access.model import Caller
from internal.errors import Forbidden, Unauthorized
from internal.server.endpoint import Check
from internal.task.model import DEFAULT_TENANT

__all__ = ["CONFIGURED", "Auth", "Caller", "needs"]

CONFIGURED = Caller(
    DEFAULT_TENANT, "server.auth_token", access.including(frozenset({access.Scope.ADMIN}))
)
"""Whoever sends the token of `server.auth_token`."""

_SCHEME = b"bearer "


class Auth:
    """
    Lets only known tokens in and puts the `caller` into the scope. It wraps the router of its
    paths, so an unknown path behind it is 401 for strangers and no spelling of a path avoids it.
    """

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        if not token:
            raise ValueError("the server needs a token")
        self._app = app
        self._digest = sha256(token.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            caller = self._identify(scope["headers"])
            address, _ = scope.get("client") or ("", 0)
            scope["caller"] = replace(caller, request_id=scope["request_id"], address=address)
        await self._app(scope, receive, send)

    def _identify(self, headers: list[tuple[bytes, bytes]]) -> Caller:
        token = b""
        for name, value in headers:
            if name == b"authorization" and value[: len(_SCHEME)].lower() == _SCHEME:
                token = value[len(_SCHEME) :].strip()
                break
            if name == b"x-api-key":
                token = value.strip()
        if not token:
            raise Unauthorized("This needs a token: send Authorization: Bearer <token>.")
        # Digests have one length, so the comparison tells nothing about the token's.
        if not hmac.compare_digest(sha256(token).digest(), self._digest):
            raise Unauthorized("This token is not known.")
        return CONFIGURED


def needs(wanted: access.Scope) -> Check:
    """The check that a caller has the scope *wanted*."""

    async def check(scope: Scope) -> None:
        caller: Caller = scope["caller"]
        if wanted not in caller.scopes:
            has = ", ".join(sorted(caller.scopes))
            raise Forbidden(f"This needs a token with the scope {wanted}; yours has {has}.")

    return check
