"""
Loop: hears at once that a cancel, a pause or a hand-back was asked for, a directive waits, or a
task was erased.

The control channel only wakes those who ask for the truth: the heartbeat, and the sweep of the
disk. When a message is lost, the next regular heartbeat says the same up to 3 s later, the next
round of the sweep some minutes later.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from internal.rdb.cancellation import end_if_cancelled
from internal.rdb.keys import Keys
from internal.task.fenced import ref_of
from internal.worker.lease import Heartbeat
from internal.worker.loops import run_until

log = structlog.get_logger(__name__)

_ASKS = frozenset({"cancel", "pause", "directive", "halt"})
"""What the worker of a task is asked for; the heartbeat says whether it is still wanted."""
_READ_SECONDS = 1.0
_PAUSE_SECONDS = 1.0


class ControlLoop:
    """*subscriber* is a client for Pub/Sub of its own."""

    def __init__(
        self,
        subscriber: Redis,
        keys: Keys,
        heartbeat: Heartbeat,
        *,
        on_erased: Callable[[str, str], None],
    ) -> None:
        """*on_erased* is called with tenant and task."""
        self._subscriber = subscriber
        self._channel = keys.control_channel()
        self._heartbeat = heartbeat
        self._on_erased = on_erased

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until *stop*; a broken connection is made anew."""
        await run_until(stop, self._listen_again())

    async def _listen_again(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                log.debug("control.redis_away", error=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _listen(self) -> None:
        async with self._subscriber.pubsub() as pubsub:
            await pubsub.subscribe(self._channel)
            while True:
                end_if_cancelled()
                message = cast(
                    "Mapping[str, object] | None",
                    await pubsub.get_message(ignore_subscribe_messages=True, timeout=_READ_SECONDS),
                )
                if message is not None:
                    self._hear(str(message["data"]))

    def _hear(self, text: str) -> None:
        verb, _, ref = text.partition(" ")
        if verb in _ASKS and any(ref_of(h.claim) == ref for h in self._heartbeat.holds()):
            self._heartbeat.beat_now()
        if verb == "erased":
            tenant, _, task = ref.partition("/")
            self._on_erased(tenant, task)
