"""
Which claims of a task count: what lies on a disk under any other is nobody's.

Reads only; the disk is listed before Redis is asked, so what begins meanwhile is spared.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from internal.rdb.keys import Keys
from internal.task.codec import decode_work
from internal.task.state import FINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownClaims:
    """The claims of one task that count: the one that runs, and those whose work is recorded."""

    leased: frozenset[str]
    recorded: frozenset[str]
    is_finished: bool


async def claims_of(
    redis: Redis, keys: Keys, refs: Collection[tuple[str, str]]
) -> dict[tuple[str, str], KnownClaims]:
    """
    For the sweep of disks: of these (tenant, task), those that exist, with their claims.

    A claim put aside by a retry counts as recorded: a cancel puts it back.
    """
    names = ["status", "claim", "iteration", "iterations_used", "prev"]
    async with redis.pipeline(transaction=False) as pipe:
        for tenant, task in refs:
            pipe.hmget(keys.task(tenant, task), names)
        heads = cast(list[list[str | None]], await pipe.execute())
    known = [(ref, head) for ref, head in zip(refs, heads, strict=True) if head[0] is not None]
    async with redis.pipeline(transaction=False) as pipe:
        for (tenant, task), head in known:
            last = int(head[3] or head[2] or 1)
            works = [f"{number}.work" for number in range(1, last + 1)]
            pipe.hmget(keys.task_iterations(tenant, task), works)
        rows = cast(list[list[str | None]], await pipe.execute()) if known else []
    return {
        ref: KnownClaims(
            leased=frozenset(filter(None, [head[1]])),
            recorded=_recorded(works, head[4]),
            is_finished=head[0] in FINISHED,
        )
        for (ref, head), works in zip(known, rows, strict=True)
    }


def _recorded(works: Sequence[str | None], kept: str | None) -> frozenset[str]:
    texts = list(works)
    if kept is not None:
        texts.append(json.loads(kept)["row"].get("work"))
    found = (decode_work(text) for text in texts)
    return frozenset(work.claim for work in found if work is not None)
