"""
One host's API over the guarded HTTP client: where a request goes, and what may come back.

A redirect is followed only to the same scheme, host and port, because the token goes along (GitHub
and GitLab answer for renamed repositories by redirects). Nothing is repeated here: whoever calls
knows what may be asked twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode, urljoin

from pydantic import TypeAdapter, ValidationError

from internal.egress.client import Answer, HttpClient
from internal.egress.url import parse_http_url
from internal.errors import Invalid, NotFound, TimedOut, Unavailable
from internal.git.provider.base import ProviderError
from internal.git.provider.failure import decode, failure, said

_CALL_SECONDS = 15.0
_MAX_REDIRECTS = 3
# Fifty pull requests with descriptions of 64 KiB each are about 4 MiB.
_MAX_ANSWER_BYTES = 8 * 1024 * 1024
# Those a browser may turn into GET are followed for GET only.
_REDIRECTS = {301: {"GET"}, 302: {"GET"}, 307: None, 308: None}

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that a method can judge: a success, or a refusal of just this request."""

    host: str
    status: int
    headers: Mapping[str, str]
    json: object
    words: str
    """What the host said, fit to be shown."""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def refusal(self) -> ProviderError:
        """What to raise for a reply that is no success, when nothing better is known."""
        return failure(self.host, self.status, self.headers, self.words)


class Api:
    """The API at *root*, with the headers of one token."""

    def __init__(
        self, http: HttpClient, *, root: str, headers: Mapping[str, str], secrets: Sequence[str]
    ) -> None:
        """*headers* carry the token; *secrets* are what must never be in a message."""
        self._http = http
        self._root = root
        self._headers = {"Accept": "application/json", **headers}
        self._secrets = tuple(secrets)
        self.host = parse_http_url(root).host

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Reply:
        """
        One request. *path* is encoded already and begins with a slash.

        Raises:
            ProviderError: no answer in 15 s, no connection, a limit of rate, a refused token, a
                failure of the host, or an answer that is too large.
            PolicyDenied: the host is in a private network.
        """
        url = self._root + path + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        answer = await self._follow(method, url, body)
        if answer.truncated:
            raise ProviderError(f"{self.host} answered with more than we read")
        content = decode(answer.body)
        reply = Reply(
            host=self.host,
            status=answer.status,
            headers=answer.headers,
            json=content,
            words="" if answer.status < 300 else said(content, secrets=self._secrets),
        )
        if not reply.ok:
            refusal = reply.refusal()
            if refusal.retryable or reply.status < 400 or reply.status == 401:
                raise refusal
        return reply

    async def find(self, path: str, shape: type[T], what: str) -> T:
        """What is at *path*. Raises NotFound, naming *what* it would be, when nothing is."""
        reply = await self.call("GET", path)
        if reply.status == 404:
            raise NotFound(f"{self.host} has no {what}")
        return self.read(reply, shape)

    async def get(self, path: str, shape: type[T], query: Mapping[str, str] | None = None) -> T:
        """What is at *path*, which must be there. Raises what `call` and `read` raise."""
        return self.read(await self.call("GET", path, query=query), shape)

    def read(self, reply: Reply, shape: type[T]) -> T:
        """
        The body of a success as *shape*.

        Raises:
            ProviderError: it is no success, or has another shape.
        """
        if not reply.ok:
            raise reply.refusal()
        try:
            return TypeAdapter(shape).validate_python(reply.json)
        except ValidationError as error:
            places = sorted({".".join(map(str, item["loc"])) for item in error.errors()})
            problem = ", ".join(places)[:200] or "the body"
            message = f"{self.host} answered in a form that is not its own: {problem}"
            # Not `from error`: that one shows what came in.
            raise ProviderError(message, status=reply.status) from None

    async def _follow(self, method: str, url: str, body: Mapping[str, object] | None) -> Answer:
        content = None if body is None else json.dumps(body).encode()
        headers = dict(self._headers)
        if content is not None:
            headers["Content-Type"] = "application/json"
        for _ in range(_MAX_REDIRECTS):
            answer = await self._exchange(method, url, headers, content)
            target = _redirect(method, url, answer)
            if target is None:
                return answer
            url = target
        raise ProviderError(f"{self.host} redirects in a circle")

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> Answer:
        try:
            return await self._http.request(
                method,
                url,
                headers=headers,
                content=content,
                total_seconds=_CALL_SECONDS,
                max_answer_bytes=_MAX_ANSWER_BYTES,
            )
        except (TimedOut, Unavailable) as error:
            raise ProviderError(error.message, retryable=True) from error


class Repository(Generic[T]):
    """One repository as its host shows it, asked for once. *path* is how the task names it."""

    def __init__(self, api: Api, path: str, shape: type[T]) -> None:
        self.path = path
        self._api = api
        self._shape = shape
        self._known: T | None = None

    async def get(self) -> T:
        """Raises ProviderError also when there is none to be seen."""
        if self._known is None:
            reply = await self._api.call("GET", self.path)
            if reply.status == 404:
                problem = "has no such repository, or the token may not see it"
                raise ProviderError(f"{self._api.host} {problem}", status=404)
            self._known = self._api.read(reply, self._shape)
        return self._known


def _redirect(method: str, url: str, answer: Answer) -> str | None:
    """Where to go on, None when *answer* is the last one."""
    location = answer.headers.get("location")
    if location is None or answer.status not in _REDIRECTS:
        return None
    methods = _REDIRECTS[answer.status]
    if methods is not None and method not in methods:
        return None
    target = urljoin(url, location)
    try:
        here, there = parse_http_url(url), parse_http_url(target)
    except Invalid:
        return None
    same = (here.scheme, here.host, here.port) == (there.scheme, there.host, there.port)
    return target if same else None
