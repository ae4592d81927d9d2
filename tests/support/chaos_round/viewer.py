"""A viewer of a task's stream that goes away and comes back, at any server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random

import httpx2

from internal.rdb.cancellation import end_if_cancelled
from tests.support.chaos_round.book import Book

_PAUSE_SECONDS = 0.2


async def view(
    http: httpx2.AsyncClient,
    servers: Sequence[str],
    task: str,
    seen: list[tuple[int, str]],
    *,
    random: Random,
    book: Book,
) -> None:
    """Add to *seen* what is sent, number and envelope, until the stream says that it is done."""
    while True:
        end_if_cancelled()
        book.calls["view"] += 1
        last = {"Last-Event-ID": str(seen[-1][0])} if seen else {}
        url = f"{random.choice(servers)}/api/v1/tasks/{task}/stream"
        patience = random.randrange(2, 30)  # messages until this viewer goes away
        try:
            async with http.stream("GET", url, headers=last) as response:
                if response.status_code == 204:
                    return
                if response.status_code == 200 and await _read(response, seen, patience, book):
                    return
        except (httpx2.TransportError, OSError):
            pass  # the server went, or Redis behind it
        await asyncio.sleep(_PAUSE_SECONDS)


async def _read(
    response: httpx2.Response, seen: list[tuple[int, str]], patience: int, book: Book
) -> bool:
    """Whether the stream said `done`."""
    async for name, number, data in _messages(response.aiter_lines()):
        match name:
            case "done":
                return True
            case "reset":
                book.wrong.append("a viewer was told that its log was shortened")
            case "bye":
                return False
            case "":
                seen.append((number, data))
                patience -= 1
            case _:
                pass
        if patience <= 0:
            return False
    return False


async def _messages(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, int, str]]:
    """Each message as its event's name, its number (0: none), its data."""
    fields: dict[str, str] = {}
    async for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            if "data" in fields:
                yield fields.get("event", ""), int(fields.get("id", 0)), fields["data"]
            fields = {}
