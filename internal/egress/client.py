"""
The one HTTP client: what leaves the service, and how much of an answer comes in.

It uses httpcore's connection pool directly, not httpx' client: everything that the client adds
(redirects, proxies and passwords from the environment, a cookie jar shared by all tenants) would
have to be off.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpcore2
import httpx2

from internal.egress.backend import GuardedBackend
from internal.egress.guard import Guard
from internal.egress.url import parse_http_url
from internal.errors import TimedOut, Unavailable
from internal.telemetry import semconv
from internal.telemetry.tracing import Kind, Span, current_traceparent, span

_CONNECT_SECONDS = 5.0
_MAX_CONNECTIONS = 128
# Shorter than the usual 5 s of receivers, which close an idle connection just when we use it again.
_KEEPALIVE_SECONDS = 2.0
_MAX_ANSWER_BYTES = 64 * 1024
_FAILURES = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.UnsupportedProtocol,
    httpcore2.ProxyError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. Names of headers are in lower case; `truncated` means the body went on."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool = False


class HttpClient:
    """Sends requests through the guard; open it with `async with`."""

    def __init__(self, guard: Guard, *, user_agent: str, tls: ssl.SSLContext | None = None) -> None:
        """*tls* decides which certificates count; by default the machine's, or `SSL_CERT_FILE`."""
        self._user_agent = user_agent
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or httpx2.create_ssl_context(),
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE_SECONDS,
            network_backend=GuardedBackend(guard),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pool.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        total_seconds: float,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        max_answer_bytes: int = _MAX_ANSWER_BYTES,
    ) -> Answer:
        """
        Send one request and read at most *max_answer_bytes* of the answer's body, in
        *total_seconds*.

        Redirects are answers like any other. Nothing is repeated.

        Raises:
            Invalid: *url* is not one that we call (`parse_http_url`).
            PolicyDenied: the host is in a private network; see `egress.allow`.
            TimedOut: the whole answer did not come in time.
            Unavailable: no connection, a broken one, or an answer that is no HTTP.
        """
        target = parse_http_url(url)
        with _span(method, target) as current:
            request = httpcore2.Request(
                method,
                _core_url(target),
                headers=self._headers(target, headers or {}, content),
                content=content,
                extensions={"timeout": _timeouts(total_seconds)},
            )
            answer = await self._send(
                request, target, total_seconds=total_seconds, max_answer_bytes=max_answer_bytes
            )
            current.set(**{semconv.HTTP_STATUS: answer.status})
            if answer.status >= 400:
                current.fail(str(answer.status))
            return answer

    async def _send(
        self,
        request: httpcore2.Request,
        target: httpx2.URL,
        *,
        total_seconds: float,
        max_answer_bytes: int,
    ) -> Answer:
        try:
            async with asyncio.timeout(total_seconds):
                return await self._exchange(request, max_answer_bytes)
        except (TimeoutError, httpcore2.TimeoutException) as error:
            raise TimedOut(f"{target.host} did not answer in time.") from error
        except httpcore2.LocalProtocolError:
            # Neither its words nor itself as the cause: they repeat the header, which is a secret.
            raise Unavailable(f"{target.host}: HTTP does not take such a header.") from None
        except _FAILURES as error:
            cause = str(error)[:200] or type(error).__name__
            raise Unavailable(f"{target.host} could not be called: {cause}") from error

    async def _exchange(self, request: httpcore2.Request, max_answer_bytes: int) -> Answer:
        response = await self._pool.handle_async_request(request)
        try:
            body, truncated = await _read(response, max_answer_bytes)
        finally:
            await response.aclose()
        return Answer(
            status=response.status,
            headers={
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in response.headers
            },
            body=body,
            truncated=truncated,
        )

    def _headers(
        self, target: httpx2.URL, given: Mapping[str, str], content: bytes | None
    ) -> list[tuple[bytes, bytes]]:
        own = {
            "host": target.netloc.decode("ascii"),
            "user-agent": self._user_agent,
            "accept": "*/*",
            # A compressed answer could grow without limit when it is unpacked.
            "accept-encoding": "identity",
        }
        if content is not None:
            own["content-length"] = str(len(content))
        if traceparent := current_traceparent():
            own["traceparent"] = traceparent
        taken = {name.lower() for name in given}
        every = [(name, value) for name, value in own.items() if name not in taken]
        every += given.items()
        return [(name.encode("ascii"), value.encode("utf-8")) for name, value in every]


def _span(method: str, target: httpx2.URL) -> AbstractContextManager[Span]:
    """Host and port only: the path of a webhook often is a secret."""
    address = {semconv.SERVER_ADDRESS: target.host, semconv.SERVER_PORT: target.port}
    return span(method, Kind.CLIENT, **{semconv.HTTP_METHOD: method, **address})


async def _read(response: httpcore2.Response, max_bytes: int) -> tuple[bytes, bool]:
    body = bytearray()
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) > max_bytes:
            return bytes(body[:max_bytes]), True
    return bytes(body), False


def _core_url(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def _timeouts(total_seconds: float) -> dict[str, float]:
    return {
        "connect": min(_CONNECT_SECONDS, total_seconds),
        "read": total_seconds,
        "write": total_seconds,
        "pool": total_seconds,
    }
