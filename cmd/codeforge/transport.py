"""
How a client speaks to a server: one call, or one stream of events, over HTTP.

It knows no task; a refusal and a silence become the two errors that callers decide by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2

Document = dict[str, Any]

_TIMEOUT = httpx2.Timeout(10.0, read=75.0)
"""`wait` holds an answer up to 60 s; a stream sends something each 15 s."""


def given(**members: Any) -> Document:
    """Those that are not None: what was not given is left to the server."""
    return {name: value for name, value in members.items() if value is not None}


class ApiError(Exception):
    """The server refused: `status` is HTTP's, `code` the API's, `fields` what is wrong where."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(body.get("error", "internal_error"))
        self.fields: Mapping[str, str] = body.get("fields") or {}
        super().__init__(str(body.get("message", f"HTTP {status}")))


class Unreachable(Exception):  # noqa: N818 -- says what is the case
    """No server answered at this address."""


class Transport:
    """Calls raise ApiError when the server refuses and Unreachable when none answers."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx2.Client(
            base_url=f"{url.rstrip('/')}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT,
            trust_env=False,
        )

    def close(self) -> None:
        """End its connections."""
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> Document:
        """The document of an answer; empty when it has none."""
        response = self.send(method, path, **options)
        document: Document = response.json() if response.content else {}
        return document

    def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """The answer itself; *options* as `httpx2.Client.request` has them."""
        try:
            response = self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            raise Unreachable(f"{self._http.base_url.host}: {error}") from error
        if response.status_code >= 400:
            _refuse(response)
        return response

    def frames(self, path: str, after: int) -> Iterator[tuple[str | None, int, Document]]:
        """
        What a stream of events sends behind number *after*: name, number and data of each frame.

        The name is None for an event of the log. TransportError where the stream breaks.
        """
        with self._http.stream("GET", path, params={"after": after}) as response:
            if response.status_code >= 400:
                response.read()
                _refuse(response)
            name: str | None = None
            number, data = after, ""
            for line in response.iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "id":
                    number = int(value)
                elif field == "data":
                    data = value
                elif not line and data:
                    yield name, number, json.loads(data)
                    name, data = None, ""


def _refuse(response: httpx2.Response) -> None:
    try:
        body = response.json()
    except ValueError:
        body = {"message": f"HTTP {response.status_code} from something that is not CodeForge"}
    raise ApiError(response.status_code, body)
