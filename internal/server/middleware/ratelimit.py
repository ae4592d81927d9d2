"""
The rate limit of HTTP: which calls are counted, and the headers that tell a client where it stands.

Counted is every call that has a token and its scope, also one that turns out to be invalid or a
repeat: what is limited is the asking. Two forms of headers are sent, because clients know either:
`RateLimit-Limit/-Remaining/-Reset`, and `RateLimit` with `RateLimit-Policy`
(draft-ietf-httpapi-ratelimit-headers-10).
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from internal.access.model import Caller
from internal.control.rate import WINDOW_SECONDS, Allowance, RateLimiter
from internal.errors import RateLimited
from internal.server.endpoint import Check

_STATE = "rate_limit_headers"


def limited(limiter: RateLimiter, window: str) -> Check:
    """The check that counts a call against *window*, which names one kind of call."""

    async def check(scope: Scope) -> None:
        caller: Caller = scope["caller"]
        allowance = await limiter.take(caller.tenant, caller.name, window)
        scope[_STATE] = _headers(allowance, window)
        if not allowance.granted:
            seconds = _seconds(allowance.wait_ms)
            raise RateLimited(
                f"This token may do this {allowance.limit} times in any {WINDOW_SECONDS} s;"
                f" come back in {seconds} s.",
                retry_after_seconds=seconds,
            )

    return check


class RateLimitHeaders:
    """Puts what the check found on the answer, whatever the answer is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and _STATE in scope:
                message["headers"] = [*message.get("headers", ()), *scope[_STATE]]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _headers(allowance: Allowance, window: str) -> list[tuple[bytes, bytes]]:
    left, reset = allowance.remaining, _seconds(allowance.reset_ms)
    texts = (
        ("ratelimit-limit", f"{allowance.limit}"),
        ("ratelimit-remaining", f"{left}"),
        ("ratelimit-reset", f"{reset}"),
        ("ratelimit-policy", f'"{window}";q={allowance.limit};w={WINDOW_SECONDS}'),
        ("ratelimit", f'"{window}";r={left};t={reset}'),
    )
    return [(name.encode(), text.encode()) for name, text in texts]


def _seconds(millis: int) -> int:
    """Whole seconds, never too few."""
    return -(-millis // 1000)
