"""Limits of time and size, without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from internal.errors import BadRequest, TimedOut
from internal.server import body
from internal.server.errors import PayloadTooLarge, SlowRequest
from internal.server.middleware.bodylimit import BodyLimit
from internal.server.middleware.timeouts import Timeouts
from internal.server.schema import Empty


async def never(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def own_timeout(scope: Scope, receive: Receive, send: Send) -> None:
    raise TimeoutError("of something inside")


async def read_all(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass


async def nothing(message: Message) -> None:
    pass


def parts(*chunks: bytes) -> Receive:
    """A body that comes in these chunks."""
    left = list(chunks)

    async def receive() -> Message:
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    return receive


async def silent() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def gone() -> Message:
    return {"type": "http.disconnect"}


def scope(**headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return {"type": "http", "method": "POST", "path": "/", "headers": pairs, "query_string": b""}


async def test_a_request_that_takes_too_long_ends() -> None:
    """
    Whether it was done is unknown, and the answer says so.
    """
    with pytest.raises(TimedOut, match=r"longer than 0\.01 s"):
        await Timeouts(never, seconds=0.01)(scope(), silent, nothing)


async def test_a_timeout_of_something_inside_is_not_ours() -> None:
    """
    Only our own limit becomes a 504.
    """
    with pytest.raises(TimeoutError):
        await Timeouts(own_timeout, seconds=60)(scope(), silent, nothing)


async def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A client that sends a byte a minute holds nothing.
    """
    monkeypatch.setattr(body, "_ARRIVE_SECONDS", 0.01)

    with pytest.raises(SlowRequest):
        await body.read_json(Request(scope(), silent), Empty)


async def test_a_client_that_goes_in_the_middle_is_no_bug() -> None:
    """
    Nothing was understood, nothing was done.
    """
    with pytest.raises(BadRequest):
        await body.read_json(Request(scope(), gone), Empty)


@pytest.mark.parametrize("sizes", [[10], [4, 6], [1] * 10, [0, 10]])
async def test_a_body_at_the_limit_passes(sizes: list[int]) -> None:
    """
    The limit is what still fits.
    """
    limited = BodyLimit(read_all, max_bytes=10)

    await limited(scope(), parts(*(b"x" * size for size in sizes)), nothing)


@pytest.mark.parametrize("sizes", [[11], [4, 7], [10, 1]])
async def test_a_byte_more_does_not(sizes: list[int]) -> None:
    """
    However it is cut into chunks.
    """
    limited = BodyLimit(read_all, max_bytes=10)

    with pytest.raises(PayloadTooLarge, match="10 bytes"):
        await limited(scope(), parts(*(b"x" * size for size in sizes)), nothing)


async def test_a_length_over_the_limit_is_refused_unread() -> None:
    """
    No byte of it is asked for.
    """
    with pytest.raises(PayloadTooLarge):
        await BodyLimit(read_all, max_bytes=10)(scope(content_length="11"), silent, nothing)
