"""Who calls: the token of `Authorization: Bearer` or `X-API-Key`, compared in constant time."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256

from starlette.types import ASGIApp, Receive, Scope, Send

from internal.errors import Unauthorized
from internal.task.model import DEFAULT_TENANT, Tenant

_SCHEME = b"bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a valid token belongs to."""

    tenant: Tenant


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
        self._caller = Caller(DEFAULT_TENANT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["caller"] = self._identify(scope["headers"])
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
        return self._caller
