"""A Server-Sent Events client that shows every message as it came."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.support.service import TOKEN


@dataclass(frozen=True)
class Message:
    """One message; `event` is "" for an unnamed one, "comment" and "retry" for those lines."""

    event: str
    data: Any
    id: int | None = None


@dataclass
class Stream:
    """An open stream: its response, and the messages as they come."""

    response: httpx2.Response
    messages: AsyncIterator[Message]

    async def next(self) -> Message:
        return await anext(self.messages)

    async def rest(self) -> list[Message]:
        """Everything up to the end."""
        return [message async for message in self.messages]


@asynccontextmanager
async def open_stream(
    base_url: str, task: str, query: str = "", **headers: str
) -> AsyncGenerator[Stream]:
    """Open a task's stream on a real server."""
    async with (
        httpx2.AsyncClient(timeout=60, headers={"Authorization": f"Bearer {TOKEN}"}) as client,
        client.stream(
            "GET",
            f"{base_url}/api/v1/tasks/{task}/stream{query}",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        ) as response,
    ):
        yield Stream(response, _messages(response.aiter_lines()))


async def _messages(lines: AsyncIterator[str]) -> AsyncIterator[Message]:
    fields: dict[str, str] = {}
    async for line in lines:
        if line.startswith(":"):
            yield Message("comment", line[1:].strip())
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield _message(fields)
            fields = {}


def _message(fields: dict[str, str]) -> Message:
    if "retry" in fields:
        return Message("retry", int(fields["retry"]))
    number = int(fields["id"]) if "id" in fields else None
    return Message(fields.get("event", ""), json.loads(fields["data"]), number)


def numbers(messages: list[Message]) -> list[int]:
    """The event numbers among them, in order."""
    return [message.id for message in messages if message.id is not None]
