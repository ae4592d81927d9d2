"""
Tasks in Redis: every change that a client asks for is one script, every read one round trip.

Private to this package. It speaks in fields and replies; `TaskService` turns them into errors.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

from internal.ids import random_token
from internal.rdb.keys import Keys
from internal.rdb.newest import newest
from internal.rdb.scripts import Script
from internal.task import scripts
from internal.task.codec import decode_task, storable
from internal.task.model import Task
from internal.task.state import State
from internal.telemetry.tracing import current_traceparent

Fields = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Reply:
    """A script's answer: its word and what follows it."""

    word: str
    rest: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits that could run at once, and how full the memory of Redis is (0 to 1)."""

    runnable: int
    oldest_seconds: float
    redis_memory_share: float


class TaskStore:
    """
    All tasks of a deployment. *replicas* of 1 or more makes accepting writes wait for replicas.
    """

    def __init__(self, redis: Redis, keys: Keys, *, replicas: int = 0) -> None:
        self._redis = redis
        self._keys = keys
        self._replicas = replicas

    async def create(
        self,
        tenant: str,
        task: str,
        fields: Fields,
        *,
        idempotency_key: str = "",
        request_hash: str = "",
        idempotency_seconds: int = 86_400,
    ) -> Reply:
        """
        ENQUEUE; words: ok (ms of its creation); with the known id: dup, conflict, deleted, and for
        a deduplication key joined, full, duplicate.
        """
        flat: list[str | int | float] = [
            tenant,
            task,
            idempotency_key,
            request_hash,
            idempotency_seconds,
        ]
        for name, value in fields.items():
            flat += [name, value]
        script = scripts.ENQUEUE_ONCE if "dedup" in fields else scripts.ENQUEUE
        return await self._write(script, flat)

    async def instruct(
        self, ref: str, operation: str, prompt: str, gates: str, *, config: str = ""
    ) -> Reply:
        """INSTRUCT, with another *config* from now on; words: ok (iteration), illegal, missing."""
        args = [ref, operation, prompt, gates, _trace(), config]
        return await self._write(scripts.INSTRUCT, args)

    async def retry(
        self, ref: str, operation: str, gates: str, *, only_letter: bool = False
    ) -> Reply:
        """RETRY; words: ok (iteration, state), illegal (state), missing."""
        args: list[str | int | float] = [ref, operation, gates, _trace(), int(only_letter)]
        return await self._write(scripts.RETRY, args)

    async def discard(self, ref: str) -> Reply:
        """DISCARD; words: ok, missing."""
        return await self._write(scripts.DISCARD, [ref, random_token()])

    async def publish(self, ref: str, operation: str, options: str) -> Reply:
        """PUBLISH; words: ok, illegal (state), no_work, missing."""
        return await self._write(scripts.PUBLISH, [ref, operation, options, _trace()])

    async def cancel(self, ref: str) -> Reply:
        """CANCEL; words: ok (state), cancelling (state), illegal (state), missing."""
        return await self._write(scripts.CANCEL, [ref, random_token()])

    async def pause(self, ref: str) -> Reply:
        """PAUSE; words: ok (state), pausing (state), illegal (state), missing."""
        return await self._write(scripts.PAUSE, [ref, random_token()])

    async def resume(self, ref: str) -> Reply:
        """RESUME; words: ok (state), illegal (state), missing."""
        return await self._write(scripts.RESUME, [ref, random_token()])

    async def direct(self, ref: str, directive: str, text: str, gates: str) -> Reply:
        """DIRECT; words: ok (state, delivery), full (state), illegal (state), missing."""
        args = [ref, directive, storable(text), gates, _trace()]
        return await self._write(scripts.DIRECT, args)

    async def delete(self, ref: str) -> Reply:
        """DELETE; words: ok, illegal (state), missing."""
        return await self._write(scripts.DELETE, [ref, random_token()])

    async def find(self, tenant: str, task: str, *, with_iterations: bool = False) -> Task | None:
        """The task, or None when there is no such one."""
        async with self._redis.pipeline(transaction=with_iterations) as pipe:
            pipe.hgetall(self._keys.task(tenant, task))
            if with_iterations:
                pipe.hgetall(self._keys.task_iterations(tenant, task))
            replies = cast(list[dict[str, str]], await pipe.execute())
        if "status" not in replies[0]:
            return None
        return decode_task(replies[0], replies[1] if with_iterations else None)

    async def find_idempotent(self, tenant: str, key: str) -> tuple[str, str] | None:
        """The task that an Idempotency-Key has made and the hash of its request; None: nothing."""
        names = ["id", "hash"]
        task, known_hash = await self._redis.hmget(self._keys.idempotency(tenant, key), names)
        return None if task is None or known_hash is None else (str(task), str(known_hash))

    async def find_many(self, tenant: str, tasks: Sequence[str]) -> list[Task]:
        """Those of *tasks* that exist, in the order asked for."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for task in tasks:
                pipe.hgetall(self._keys.task(tenant, task))
            replies = cast(list[dict[str, str]], await pipe.execute())
        return [decode_task(fields) for fields in replies if "status" in fields]

    async def states(self, tenant: str, tasks: Sequence[str]) -> dict[str, State]:
        """The states of those of *tasks* that exist."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for task in tasks:
                pipe.hget(self._keys.task(tenant, task), "status")
            replies = cast(list[str | None], await pipe.execute())
        return {
            task: State(status)
            for task, status in zip(tasks, replies, strict=True)
            if status is not None
        }

    async def ids(
        self, tenant: str, *, before: str | None, since_millis: int | None, count: int
    ) -> list[tuple[str, int]]:
        """
        Up to *count* (task id, creation in ms), newest first, of those older than cursor *before*.

        A cursor is `<created ms>.<task id>`, so it holds when its task is deleted meanwhile.
        """
        millis, _, last = (before or "").partition(".")
        return await newest(
            self._redis,
            self._keys.tenant_index(tenant),
            before=(int(millis), last) if before else None,
            since_millis=since_millis,
            count=count,
        )

    async def letters(
        self, *, before: tuple[int, str] | None, since_millis: int | None, count: int
    ) -> list[tuple[str, int]]:
        """Up to *count* (ref, death in ms) of all tenants, newest first, older than *before*."""
        index = self._keys.dead_letters()
        return await newest(
            self._redis, index, before=before, since_millis=since_millis, count=count
        )

    async def sealed_token(self, tenant: str, task: str) -> str | None:
        """The encrypted record of the task's own `access_token`, None when it brought none."""
        found = await self._redis.hget(self._keys.task(tenant, task), "access_token")
        return None if found is None else str(found)

    async def stored_diff(self, tenant: str, task: str, iteration: int) -> bytes | None:
        """The compressed diff of an iteration, as `diffstore.pack` made it."""
        key = self._keys.task_work(tenant, task)
        command = cast(Callable[..., Awaitable[bytes | None]], self._redis.execute_command)
        return await command("HGET", key, str(iteration), NEVER_DECODE=[])

    async def counts(self, tenant: str) -> dict[State, int]:
        """Tasks of a tenant by state."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for state in State:
                pipe.zcard(self._keys.tenant_state(tenant, state))
            replies = cast(list[int], await pipe.execute())
        return dict(zip(State, replies, strict=True))

    async def queue(self) -> tuple[int, int | None]:
        """How much wants a worker, of all tenants, waiting and due; since when the oldest does."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zcard(self._keys.queued())
            pipe.zrange(self._keys.queued(), 0, 0, withscores=True)
            depth, first = cast(tuple[int, list[tuple[str, float]]], await pipe.execute())
        return depth, int(first[0][1]) if first else None

    async def backlog(self) -> Backlog:
        """What presses, of all tenants."""
        runnable, oldest_millis = await scripts.LOAD(self._redis, [self._keys.prefix], [])
        memory = cast(dict[str, int], await self._redis.info("memory"))
        most = int(memory.get("maxmemory", 0))
        return Backlog(
            runnable=int(runnable),
            oldest_seconds=int(oldest_millis) / 1000,
            redis_memory_share=int(memory["used_memory"]) / most if most else 0.0,
        )

    async def usage_of_day(self, tenant: str, day: str) -> dict[str, str]:
        """Raw counters of one day, `yyyy-mm-dd`."""
        key = self._keys.usage_of_day(tenant, day)
        return cast(dict[str, str], await self._redis.hgetall(key))

    async def set_limits(self, limits: Mapping[str, float]) -> None:
        """
        LIMITS: these are the limits and weights from now on; what is left out is none any more.
        """
        flat = [part for field, most in limits.items() for part in (field, most)]
        await scripts.LIMITS(self._redis, [self._keys.prefix], flat)

    async def _write(self, script: Script, args: Sequence[str | int | float]) -> Reply:
        reply = await script.durable(
            self._redis, [self._keys.prefix], args, replicas=self._replicas
        )
        return Reply(reply[0], tuple(reply[1:]))


def _trace() -> str:
    """The span of the request that asks for a run, for the run to go on in its trace."""
    return current_traceparent() or ""
