"""
Events as Server-Sent Events, for as long as the client reads.

Each event is one unnamed message with its number as `id`; the named ones (connected, reset, done,
bye) carry no id, so they never move a client's cursor. A client that does not read is cut off
when one chunk could not be sent for 30 s; the HTTP server's own write buffer bounds its memory.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, assert_never

import structlog
from starlette.types import Receive, Scope, Send

from internal.task.event import StoredEvent
from internal.task.viewer import Closed, Done, Events, Reset, Shown, Viewer

HEARTBEAT_SECONDS = 15
SEND_SECONDS = 30
_EVENTS_PER_CHUNK = 50
"""Between chunks others run: a loop that is never paused would starve them."""

_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),
]

log = structlog.get_logger(__name__)

Transform = Callable[[StoredEvent], str | None]
"""An event's envelope as the client wants it, None to leave it out."""


UntilRefused = Callable[[], Awaitable[None]]
"""Returns when the client's token is no longer known."""


class _ClientTooSlowError(Exception):
    """The client took nothing for 30 s."""


class EventStream:
    """The response: an ASGI application that sends one task's events until they end."""

    def __init__(
        self,
        viewing: AbstractAsyncContextManager[Viewer],
        *,
        task: str,
        connected: Mapping[str, Any],
        transform: Transform,
        until_refused: UntilRefused | None = None,
    ) -> None:
        self._viewing = viewing
        self._task = task
        self._connected = connected
        self._transform = transform
        self._until_refused = until_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._viewing as viewer:
            watches = [asyncio.create_task(_close_on_disconnect(receive, viewer))]
            if self._until_refused is not None:
                watches.append(asyncio.create_task(_close_when(self._until_refused, viewer)))
            try:
                await self._stream(viewer, send)
            except _ClientTooSlowError:
                # The answer stays incomplete, so the HTTP server cuts the connection.
                log.info("stream.client_too_slow", task_id=self._task)
            finally:
                for watch in watches:
                    watch.cancel()

    async def _stream(self, viewer: Viewer, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await _send(send, "retry: 2000\n\n" + _named("connected", self._connected))
        loop = asyncio.get_running_loop()
        quiet_until = loop.time() + HEARTBEAT_SECONDS
        is_over = False
        while not is_over:
            shown = await viewer.next(max(quiet_until - loop.time(), 0))
            frames, is_over = self._frames(shown)
            if not frames and loop.time() >= quiet_until:
                frames = [": keepalive\n\n"]
            for start in range(0, len(frames), _EVENTS_PER_CHUNK):
                if start:
                    await asyncio.sleep(0)
                await _send(send, "".join(frames[start : start + _EVENTS_PER_CHUNK]))
                quiet_until = loop.time() + HEARTBEAT_SECONDS
        await send({"type": "http.response.body", "body": b""})

    def _frames(self, shown: Shown | None) -> tuple[Sequence[str], bool]:
        """What to send, and whether it is the end."""
        match shown:
            case None:
                return [], False
            case Events(events):
                frames = ((event.number, self._transform(event)) for event in events)
                return [f"id: {n}\ndata: {text}\n\n" for n, text in frames if text], False
            case Reset():
                return [_named("reset", {"task_id": self._task})], False
            case Done(status, changes):
                summary = json.loads(changes) if changes else None
                members = {"task_id": self._task, "status": status, "changes_summary": summary}
                return [_named("done", members)], True
            case Closed("client"):
                return [], True
            case Closed(reason):
                return [_named("bye", {"reason": reason})], True
        assert_never(shown)


async def _close_on_disconnect(receive: Receive, viewer: Viewer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.close("client")


async def _close_when(until_refused: UntilRefused, viewer: Viewer) -> None:
    await until_refused()
    viewer.close("token is no longer valid")


async def _send(send: Send, text: str) -> None:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
    except TimeoutError as error:
        raise _ClientTooSlowError from error


def _named(name: str, members: Mapping[str, Any]) -> str:
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n"
