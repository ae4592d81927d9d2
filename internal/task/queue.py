"""
The worker's side of the queue: wait, claim, write as the holder of a claim, do the chores.

The list that workers block on is a doorbell that carries no work; a claim is one script. Its random
token fences every later write (`task.fenced`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis

from internal.ids import random_token
from internal.rdb.keys import Keys
from internal.task import scripts
from internal.task.claimed import decode_claim
from internal.task.event import encode
from internal.task.fenced import FencedWrites
from internal.task.model import Claim

_BELL_SECONDS = 2


class Lane(StrEnum):
    """Lists of their own: agent runs, create-pr runs, and runs that lost two workers."""

    AGENT = "agent"
    PUBLISH = "publish"
    ALONE = "alone"


class Held(Exception):  # noqa: N818 -- not an error: there is work, and it is for others
    """This worker is throttled or isolated; it is not to listen to the bells of others."""


class TaskQueue(FencedWrites):
    """
    The queue as one worker process sees it.

    *redis* serves commands; *blocking* is a client for blocking reads (no socket timeout) and may
    be None where nobody calls `wait`.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        lease_seconds: float,
        replicas: int = 0,
        blocking: Redis | None = None,
    ) -> None:
        super().__init__(redis, keys, replicas=replicas)
        self._blocking = blocking
        self._lease_millis = int(lease_seconds * 1000)

    async def wait(self, lanes: Sequence[Lane], home: str) -> None:
        """
        Return when a bell of these lanes rang, or after 2 s. Carries no work, may be cancelled.
        """
        if self._blocking is None:
            raise TypeError("this queue was made without a client for blocking reads")
        bells = [self._keys.bell(lane, s) for lane in lanes for s in (f"@{home}", "")]
        await self._blocking.blpop(bells, timeout=_BELL_SECONDS)

    async def claim(self, lane: Lane, *, worker: str, home: str) -> Claim | None:
        """
        Take the next task of *lane*, or None when nothing may run now.

        The task is leased to *worker* when this returns. One script, so no two workers get the
        same task; the reply of a call that was lost is repeated by the same token.

        Raises:
            Held: there is work, and an escalation keeps it from this worker.
        """
        token, claim_id = random_token(), random_token()[:16]
        while True:
            reply = await self._run(
                scripts.CLAIM, [worker, home, token, claim_id, self._lease_millis, lane.value]
            )
            if reply[0] == "none":
                return None
            if reply[0] == "held":
                raise Held
            if reply[0] == "task":
                fields = dict(zip(reply[1][::2], reply[1][1::2], strict=True))
                return decode_claim(fields, home=home, alone=lane is Lane.ALONE)
            await asyncio.sleep(0)

    async def reap(
        self,
        *,
        limit: int = 256,
        grace_seconds: float = 1,
        home_grace_seconds: float,
        loss_rules: str = "",
    ) -> tuple[int, int, bool]:
        """
        Do the queue's chores; returns (tasks of lost workers, tasks promoted, more to do now).

        *loss_rules* are what the loss of a worker signals (`control.escalation.encode_rules`).
        """
        lost, promoted, more = await self._run(
            scripts.REAP,
            [
                *(limit, int(grace_seconds * 1000), self._lease_millis),
                *(int(home_grace_seconds * 1000), loss_rules),
            ],
        )
        return int(lost), int(promoted), bool(more)

    async def trim_events(self, share: float) -> tuple[int, bool]:
        """
        While Redis uses more than *share* of its memory: the agent events of what finished first
        go, some at a time. Returns (events that went, more to do now).
        """
        gone, more = await self._run(scripts.TRIM, [share])
        return int(gone), bool(more)

    async def register(self, worker: str, home: str, info: Mapping[str, Any]) -> int:
        """Enter the registry before the first claim; returns how many tasks came home."""
        args = [worker, home, encode(info), "0"]
        return int(await self._run(scripts.REGISTER, args))

    async def unregister(self, worker: str, home: str) -> None:
        """Leave the registry after the last task."""
        await self._run(scripts.REGISTER, [worker, home, "{}", "1"])
