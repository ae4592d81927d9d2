"""
The hub: one Pub/Sub connection per server process wakes everybody who watches a task.

Pub/Sub loses messages without a word whenever its connection breaks, so nothing depends on it: each
confirmed subscription, the first as any after a reconnect, tells all watchers of that channel to
look into the log (`task.viewer`). A half-open connection shows no error at all; the hub's own ping
through Redis finds it. A task that nobody watches costs nothing: its channel is not subscribed.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from random import Random
from typing import Any, cast

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from internal.backoff import full_jitter
from internal.errors import Unavailable
from internal.ids import random_token
from internal.rdb.cancellation import end_if_cancelled
from internal.rdb.client import unavailable
from internal.rdb.keys import Keys
from internal.task.event import FINAL_EVENTS, StoredEvent
from internal.task.state import FINISHED, State
from internal.task.viewer import PAGE_EVENTS, Bell, Listener, Page, Viewer

log = structlog.get_logger(__name__)

_READS_AT_ONCE = 8
_RETRY_SECONDS = 2
_MESSAGES_PER_TURN = 50
"""After so many messages in a row the reader lets everybody else run."""

_STABLE_SECONDS = 10
"""A connection that lived so long was a good one; the next is tried at once."""

_HEAD = re.compile(r'\{"id":(\d+),"type":"([a-z_]+)","event":"([a-z_]+)",')
_PING = "ping"


class Hub:
    """
    Follows tasks for all viewers of one process, as long as `run` runs.

    *subscriber* is a client for Pub/Sub, *reader* one for commands. A ping travels through Redis
    every *ping_seconds*; two missed ones make a new connection.
    """

    def __init__(
        self, *, subscriber: Redis, reader: Redis, keys: Keys, ping_seconds: float = 5
    ) -> None:
        self._subscriber = subscriber
        self._reader = reader
        self._keys = keys
        self._ping_seconds = ping_seconds
        self._ping_channel = keys.ping_channel(random_token())
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)
        self._listeners: dict[str, set[Listener]] = {}
        self._changed: set[str] = set()
        self._has_changes = asyncio.Event()
        self._random = Random()  # noqa: S311 -- jitter, not a secret
        self._closed: str | None = None

    @property
    def watched(self) -> int:
        """Channels that somebody listens to."""
        return len(self._listeners)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the connection until *stop*; then every viewer ends with `Closed("shutdown")`."""
        async with asyncio.TaskGroup() as group:
            connection = group.create_task(self._stay_connected())
            try:
                await stop.wait()
            finally:
                self._close("shutdown")
                connection.cancel()

    @asynccontextmanager
    async def follow(self, tenant: str, task: str, *, after: int) -> AsyncGenerator[Viewer]:
        """
        Watch a task's events behind number *after* with the viewer's `next`.

        The task is not looked up first: of one that does not exist the viewer says
        `Closed("deleted")`.
        """

        async def read(cursor: int) -> Page | None:
            return await self._page(tenant, task, cursor)

        viewer = Viewer(read, after=after)
        with self._listening(self._keys.stream_channel(task), viewer):
            yield viewer

    async def wait_finished(self, tenant: str, task: str, seconds: float) -> bool:
        """
        Wait until a task is finished (or gone); False when that did not happen in *seconds*.

        Also False when this process stops before. Redis being away only makes it wait.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        bell = Bell()
        with self._listening(self._keys.done_channel(task), bell):
            while bell.closed is None:
                pause = deadline - loop.time()
                try:
                    if await self._is_over(tenant, task):
                        return True
                except Unavailable:
                    pause = min(pause, _RETRY_SECONDS)
                if not await bell.wait(pause) and loop.time() >= deadline:
                    return False
        return False

    # -- the connection

    def _close(self, reason: str) -> None:
        self._closed = reason
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.close(reason)

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        attempt = 0
        while self._closed is None:
            started = loop.time()
            try:
                await self._connect_once()
            except* (RedisError, OSError) as errors:
                log.warning("hub.connection_lost", error=str(errors.exceptions[0]))
            except* Exception:  # without this loop nobody sees an event any more
                log.exception("hub.failed")
            attempt = 0 if loop.time() - started > _STABLE_SECONDS else attempt + 1
            pause = full_jitter(
                min(attempt, 8), base_seconds=0.1, factor=2, cap_seconds=2, random=self._random
            )
            await asyncio.sleep(pause)

    async def _connect_once(self) -> None:
        """
        One connection's life; while the hub is open it ends with an exception.

        Not redis-py's PubSub: it reconnects by itself, in whichever of two tasks sees the failure
        first, under the hands of the other one.
        """
        pool = cast(Any, self._subscriber.connection_pool)  # its methods are partly untyped
        connection = cast(Connection, await pool.get_connection())
        try:
            if self._closed is not None:  # the cancellation that said so can be swallowed there
                return
            self._changed.update(self._listeners)
            self._changed.add(self._ping_channel)
            self._has_changes.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(connection))
                group.create_task(self._subscribe(connection))
                group.create_task(self._ping())
        finally:
            await connection.disconnect(nowait=True)
            await pool.release(connection)

    async def _receive(self, connection: Connection) -> None:
        silence_seconds = 2 * self._ping_seconds + 1
        count = 0
        while True:
            message = cast(
                "list[str] | None",
                await connection.read_response(
                    timeout=silence_seconds, disconnect_on_error=False, push_request=True
                ),
            )
            end_if_cancelled()
            if message is None:
                raise RedisConnectionError("two pings were missed")
            kind, channel, payload = message
            if kind == "message":
                self._deliver(channel, payload)
            elif kind == "subscribe":
                for listener in self._listeners.get(channel, ()):
                    listener.mark()
            count += 1
            if count % _MESSAGES_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _subscribe(self, connection: Connection) -> None:
        """Make the subscriptions what the listeners need, many in one command."""
        subscribed: set[str] = set()
        while True:
            await self._has_changes.wait()
            self._has_changes.clear()
            changed, self._changed = self._changed, set()
            wanted = {channel for channel in changed if self._is_wanted(channel)}
            new, left = wanted - subscribed, (changed - wanted) & subscribed
            if new:
                await connection.send_command("SUBSCRIBE", *new, check_health=False)
            if left:
                await connection.send_command("UNSUBSCRIBE", *left, check_health=False)
            subscribed = (subscribed | new) - left
            end_if_cancelled()

    def _is_wanted(self, channel: str) -> bool:
        return channel in self._listeners or channel == self._ping_channel

    async def _ping(self) -> None:
        while True:
            # A ping that cannot be sent is a missed ping; the receiver judges.
            with suppress(Unavailable), unavailable():
                await self._reader.publish(self._ping_channel, _PING)
            end_if_cancelled()
            await asyncio.sleep(self._ping_seconds)

    def _deliver(self, channel: str, payload: str) -> None:
        listeners = self._listeners.get(channel)
        if not listeners:
            return
        head = _HEAD.match(payload)
        if head is None:  # a done object, or something foreign: it only wakes
            for listener in listeners:
                listener.mark()
            return
        event = StoredEvent(int(head[1]), payload)
        is_final = (head[2], head[3]) in FINAL_EVENTS
        for listener in listeners:
            listener.offer(event, is_final=is_final)

    @contextmanager
    def _listening(self, channel: str, listener: Listener) -> Generator[None]:
        if self._closed is not None:
            listener.close(self._closed)
        self._listeners.setdefault(channel, set()).add(listener)
        self._note(channel)
        try:
            yield
        finally:
            self._listeners[channel].discard(listener)
            if not self._listeners[channel]:
                del self._listeners[channel]
            self._note(channel)

    def _note(self, channel: str) -> None:
        self._changed.add(channel)
        self._has_changes.set()

    # -- looks into Redis

    async def _page(self, tenant: str, task: str, cursor: int) -> Page | None:
        async with self._reads:
            with unavailable():
                async with self._reader.pipeline(transaction=True) as pipe:
                    pipe.hmget(self._keys.task(tenant, task), ["status", "seq", "changes"])
                    start = f"({cursor}-0" if cursor else "-"
                    pipe.xrange(self._keys.task_events(tenant, task), min=start, count=PAGE_EVENTS)
                    replies = await pipe.execute()
        status, last, changes = cast("list[str | None]", replies[0])
        if status is None:
            return None
        rows = cast("list[tuple[str, dict[str, str]]]", replies[1])
        events = [StoredEvent(int(entry.partition("-")[0]), fields["e"]) for entry, fields in rows]
        return Page(State(status), int(last or 0), changes, events)

    async def _is_over(self, tenant: str, task: str) -> bool:
        async with self._reads:
            with unavailable():
                status = await self._reader.hget(self._keys.task(tenant, task), "status")
        return status is None or State(str(status)) in FINISHED
