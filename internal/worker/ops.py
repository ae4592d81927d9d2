"""
Loop: answers the ops of this home, a few at once, so that one that waits for a host delays none.

What each kind means is a table given by the wiring. Each is safe to repeat, so one that is lost
with a stop or a worker is asked again.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from redis.exceptions import RedisError

from internal.errors import CodeforgeError, NotFound, Unavailable
from internal.fault import fault_point
from internal.git.workstore import WorkStore
from internal.rdb.cancellation import end_if_cancelled
from internal.task import diffstore
from internal.task.ops import Op, OpKind, Ops
from internal.telemetry.tracing import Kind, continue_from, span
from internal.worker.loops import run_until

log = structlog.get_logger(__name__)

Answer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""From the arguments of an op to the members of its answer, soon; a CodeforgeError is told."""

_AT_ONCE = 16
_OF_A_TENANT = 4
_ASK_HOSTS = frozenset({OpKind.READ_PR, OpKind.VERIFY_KEY})
"""They wait for a host that the tenant chose; it may be silent on purpose."""
_REDIS_PAUSE_SECONDS = 1.0


class OpsLoop:
    """Takes ops of *home* until told to stop; *answers* has one entry for every kind."""

    def __init__(self, ops: Ops, answers: Mapping[OpKind, Answer], *, home: str) -> None:
        self._ops = ops
        self._answers = answers
        self._home = home
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._waiting: Counter[str] = Counter()
        """How many ops of each tenant wait for a host."""

    async def run(self, stop: asyncio.Event) -> None:
        """The loop; what is under way when it stops is cut off."""
        await run_until(stop, self._take_again())

    async def _take_again(self) -> None:
        async with asyncio.TaskGroup() as serving:
            while True:
                await self._room.acquire()
                op = await self._take()
                if op is None:
                    self._room.release()
                else:
                    fault_point("op_taken")
                    serving.create_task(self._serve(op))

    async def _take(self) -> Op | None:
        end_if_cancelled()
        try:
            return await self._ops.take(self._home)
        except (RedisError, OSError) as error:
            log.warning("ops.redis_away", error=str(error))
            await asyncio.sleep(_REDIS_PAUSE_SECONDS)
        except Exception:  # one op that is not understood must not cost the worker
            log.exception("ops.broken")
        return None

    async def _serve(self, op: Op) -> None:
        try:
            await self._ops.answer(op, await self._answer(op))
            fault_point("op_answered")
        except (RedisError, OSError) as error:
            log.warning("ops.redis_away", error=str(error))
        except Exception:  # a fault in one op must not end the others
            log.exception("ops.broken", kind=op.kind)
        finally:
            self._room.release()

    async def _answer(self, op: Op) -> Mapping[str, Any]:
        try:
            with continue_from(op.traceparent), span(f"op.{op.kind}", Kind.CONSUMER):
                if op.kind in _ASK_HOSTS:
                    return await self._ask_host(op)
                return await self._answers[op.kind](op.args)
        except CodeforgeError as error:
            return {"error": error.message, "code": error.error_code}
        except OSError as error:
            return {"error": error.strerror or "the disk of the home refuses"}

    async def _ask_host(self, op: Op) -> Mapping[str, Any]:
        """Refuse what is too much: else one tenant's silent hosts would hold up all others."""
        tenant = str(op.args["tenant"])
        if self._waiting[tenant] >= _OF_A_TENANT:
            raise Unavailable("Too many questions to hosts of this tenant at once.")
        self._waiting[tenant] += 1
        try:
            return await self._answers[op.kind](op.args)
        finally:
            self._waiting[tenant] -= 1
            self._waiting += Counter()  # forgets who waits for nothing


class DiffReader:
    """Answers `READ_DIFF` from the work kept on this home."""

    def __init__(self, works: WorkStore) -> None:
        self._works = works

    async def answer(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """The whole diff, packed. Raises NotFound when the home no longer has the work."""
        repo = await self._works.find(args["tenant"], args["task"])
        if repo is None:
            raise NotFound("The home no longer has this work.")
        diff = await repo.diff(args["base"], args["commit"])
        packed, truncated = await asyncio.to_thread(diffstore.pack, diff, limit_bytes=None)
        return {"diff": base64.b64encode(packed).decode(), "complete": not truncated}
