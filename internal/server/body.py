"""Reads a request's JSON body into a model: media type, time to arrive, complaints all at once."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from internal.errors import BadRequest
from internal.server.complaints import parse
from internal.server.errors import SlowRequest, UnsupportedMediaType

ModelT = TypeVar("ModelT", bound=BaseModel)

_ARRIVE_SECONDS = 15


async def read_json(request: Request, model: type[ModelT], context: object = None) -> ModelT:
    """
    The body as *model*. A body that is left out counts as an empty object.

    Raises:
        Invalid, BadRequest, UnsupportedMediaType, PayloadTooLarge.
        SlowRequest: it did not arrive within 15 s.
    """
    body = await _read(request)
    if not body:
        return parse(model, b"{}", context)
    _check_media_type(request)
    return parse(model, body, context)


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    try:
        async with asyncio.timeout(_ARRIVE_SECONDS):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise BadRequest("The client went away before its request was complete.")
                chunks.append(message.get("body", b""))
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError as error:
        raise SlowRequest(f"The body did not arrive within {_ARRIVE_SECONDS} s.") from error


def _check_media_type(request: Request) -> None:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("Send the body without compression.")
    given = request.headers.get("content-type")
    if given is None or given == "application/json":
        return
    kind, *parameters = (part.strip().lower() for part in given.split(";"))
    charsets = [part.partition("=")[2].strip('"') for part in parameters if "charset=" in part]
    if kind != "application/json" or any(name not in {"utf-8", "utf8"} for name in charsets):
        raise UnsupportedMediaType("Send the body as application/json in UTF-8.")
