"""
Loop: answers the ops of this home, one at a time.

Each is safe to repeat, so one that is lost with a stop or a worker is asked again.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import structlog
from redis.exceptions import RedisError

from internal.errors import CodeforgeError, NotFound
from internal.git.workstore import WorkStore
from internal.rdb.cancellation import end_if_cancelled
from internal.task import diffstore
from internal.task.ops import Op, OpKind, Ops
from internal.worker.loops import run_until

log = structlog.get_logger(__name__)

_REDIS_PAUSE_SECONDS = 1.0


class OpsLoop:
    """Takes ops of *home* until told to stop."""

    def __init__(self, ops: Ops, works: WorkStore, *, home: str) -> None:
        self._ops = ops
        self._works = works
        self._home = home

    async def run(self, stop: asyncio.Event) -> None:
        """The loop."""
        await run_until(stop, self._take_again())

    async def _take_again(self) -> None:
        while True:
            end_if_cancelled()
            try:
                op = await self._ops.take(self._home)
                if op is not None:
                    await self._ops.answer(op, await self._answer(op))
            except (RedisError, OSError) as error:
                log.warning("ops.redis_away", error=str(error))
                await asyncio.sleep(_REDIS_PAUSE_SECONDS)
            except Exception:  # one op that is not understood must not cost the worker
                log.exception("ops.broken")

    async def _answer(self, op: Op) -> Mapping[str, Any]:
        try:
            match op.kind:
                case OpKind.READ_DIFF:
                    return await self._read_diff(op.args)
        except CodeforgeError as error:
            return {"error": error.message}
        except OSError as error:
            return {"error": error.strerror or "the disk of the home refuses"}

    async def _read_diff(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        repo = await self._works.find(args["tenant"], args["task"])
        if repo is None:
            raise NotFound("The home no longer has this work.")
        diff = await repo.diff(args["base"], args["commit"])
        packed, truncated = await asyncio.to_thread(diffstore.pack, diff, limit_bytes=None)
        return {"diff": base64.b64encode(packed).decode(), "complete": not truncated}
