"""
HEARTBEAT as the worker's thread sends it: on a client of its own, without an event loop.

One call renews the leases of all claims of a process and brings back what each of them must know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import cast

from redis.client import Redis as SyncRedis

from internal.clock import from_millis
from internal.rdb.keys import Keys
from internal.task import scripts


class Beat(StrEnum):
    """What a heartbeat says about one claim."""

    FENCED = "0"
    RENEWED = "1"
    CANCEL = "2"
    PAUSE = "3"
    DIRECTIVE = "4"
    ESCALATED = "5"


@dataclass(frozen=True, slots=True)
class BeatReply:
    """
    One heartbeat's answer: Redis' time, each claim by its token, whether a task waits to run alone.
    """

    now: datetime
    claims: Mapping[str, Beat]
    alone_waiting: bool


def heartbeat(
    redis: SyncRedis,
    keys: Keys,
    *,
    worker: str,
    home: str,
    lease_seconds: float,
    info: str,
    claims: Sequence[tuple[str, str]],
) -> BeatReply:
    """
    One heartbeat for all (ref, token) of a process, on the heartbeat thread's own client.

    Raises redis-py's errors: the caller counts what went unanswered.
    """
    args: list[str | int] = [worker, home, int(lease_seconds * 1000), info]
    for ref, token in claims:
        args += [ref, token]
    reply = cast(list[int], scripts.HEARTBEAT.sync(redis, [keys.prefix], args))
    beats = {token: Beat(str(word)) for (_, token), word in zip(claims, reply[2:], strict=True)}
    return BeatReply(now=from_millis(reply[0]), claims=beats, alone_waiting=reply[1] == 1)
