"""
Takes tasks from the list `<prefix>input:tasks`, where programs without HTTP put them.

BLMOVE moves a payload to the pending list; what it returns is not looked at, because a reply can be
lost with its connection. A script then gives each pending entry to one listener at a time, with an
id and a lease; a killed listener's entry is given to another one when its lease ends. Submitting
is safe to repeat: the correlation id, or else the entry's own id, is the idempotency key.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from internal.access.audit import AuditLog
from internal.access.model import Caller
from internal.errors import BadRequest, CodeforgeError, RateLimited, Unavailable
from internal.fault import fault_point
from internal.ids import random_token
from internal.keys.registry import KeyRegistry
from internal.rdb.cancellation import end_if_cancelled
from internal.rdb.client import unavailable
from internal.rdb.keys import Keys
from internal.rdb.scripts import Script, load_lua
from internal.server.accept import accept
from internal.server.complaints import parse
from internal.server.deps import TaskRules
from internal.server.pressure import Doorkeeper
from internal.server.problem import INTERNAL, problem_body, status_of
from internal.server.schema import InputTask
from internal.task.model import DEFAULT_TENANT
from internal.task.service import TaskService
from internal.task.submission import request_hash
from internal.telemetry.tracing import Kind, span

log = structlog.get_logger(__name__)

_TAKE = Script(load_lua("internal.server", "lua/input_take"))
_SETTLE = Script(load_lua("internal.server", "lua/input_settle"))

_BLOCK_SECONDS = 2
_PAUSE_SECONDS = 2
"""After Redis failed; also the longest a stop waits for it."""
_ANSWER_SECONDS = 300


_OPERATOR = Caller(DEFAULT_TENANT, "input:tasks", frozenset())
"""Whoever can write to Redis; the audit log names the list."""


@dataclass(frozen=True, slots=True)
class _Entry:
    raw_id: bytes
    """As it stands in the list, where a program may have pushed something that looks leased."""
    payload: bytes

    @property
    def id(self) -> str:
        return self.raw_id.decode(errors="backslashreplace")


class InputListener:
    """
    The loop; any number of servers may run it on one Redis.

    *redis* serves commands, *blocking* is a client for blocking reads. Payloads are read as
    bytes, whatever the clients do: what other programs push need not be text.
    """

    def __init__(
        self,
        redis: Redis,
        blocking: Redis,
        keys: Keys,
        *,
        tasks: TaskService,
        registered: KeyRegistry,
        audit: AuditLog,
        rules: TaskRules,
        door: Doorkeeper,
        max_body_bytes: int,
        lease_seconds: float = 30,
    ) -> None:
        self._redis = redis
        self._blocking = blocking
        self._keys = keys
        self._tasks = tasks
        self._registered = registered
        self._audit = audit
        self._rules = rules
        self._door = door
        self._max_body_bytes = max_body_bytes
        self._lease_millis = int(lease_seconds * 1000)

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until *stop*; the payload in hand is finished first (a wait takes up to 2 s)."""
        while not stop.is_set():
            try:
                with unavailable():
                    if not await self.serve_one():  # what others left comes first
                        await self._wait()
            except Unavailable as error:
                log.warning("input.put_off", error=error.message)
                await _pause(stop)
            except RedisError as error:  # a key of another type: somebody has to put it right
                log.error("input.failed", error=str(error))  # noqa: TRY400 -- says it all
                await _pause(stop)
            end_if_cancelled()

    async def serve_one(self) -> bool:
        """
        Answer one pending payload; False when there is none that nobody works on.

        Raises:
            Unavailable, RedisError: Redis did not do its part. Nothing else: a payload that
            cannot even be refused is settled without an answer.
        """
        entry = await self._take()
        if entry is None:
            return False
        fault_point("input_taken")
        keys = [self._keys.input_pending()]
        text = b""
        try:
            correlation = _correlation_of(entry.payload)
            text = _encode(await self._answer(entry, correlation))
        except Unavailable:
            raise  # the entry stays; it is given again when its lease ends
        except Exception as error:  # noqa: BLE001 -- no payload may end the loop
            log.error(  # noqa: TRY400 -- a message and a traceback can quote the payload
                "input.dropped",
                entry=entry.id,
                error=type(error).__name__,
                bytes=len(entry.payload),
            )
        else:
            if correlation is not None:
                keys.append(self._keys.input_result(correlation))
        await _SETTLE(self._redis, keys, [entry.raw_id, text, _ANSWER_SECONDS])
        fault_point("input_settled")
        end_if_cancelled()
        return True

    async def _wait(self) -> None:
        """Until a payload was moved to the pending list, or 2 s."""
        lists = (self._keys.input_tasks(), self._keys.input_pending())
        await _undecoded(self._blocking, "BLMOVE", *lists, "LEFT", "RIGHT", _BLOCK_SECONDS)

    async def _take(self) -> _Entry | None:
        args = (1, self._keys.input_pending(), random_token(), self._lease_millis)
        try:
            taken = await _undecoded(self._redis, "EVALSHA", _TAKE.sha, *args)
        except NoScriptError:
            taken = await _undecoded(self._redis, "EVAL", _TAKE.source, *args)
        return _Entry(taken[0], taken[1]) if taken else None

    async def _answer(self, entry: _Entry, correlation: str | None) -> dict[str, Any]:
        try:
            with unavailable():
                return await self._submit(entry)
        except Unavailable:
            raise
        except RateLimited as error:  # it can wait in the list: nobody has to ask again
            raise Unavailable(error.message) from error
        except CodeforgeError as error:
            problem = error
            if status_of(error) == 500:
                log.exception("input.failed", entry=entry.id)
                problem = INTERNAL
        except Exception:  # a payload that always fails must not come back for ever
            log.exception("input.failed", entry=entry.id)
            problem = INTERNAL
        if correlation is None:  # nobody can be told; the content may hold a secret
            log.warning("input.refused", error=problem.error_code, bytes=len(entry.payload))
        return problem_body(problem)

    async def _submit(self, entry: _Entry) -> dict[str, Any]:
        if len(entry.payload) > self._max_body_bytes:
            raise BadRequest(f"The payload is larger than {self._max_body_bytes} bytes.")
        body = parse(InputTask, entry.payload, self._rules)
        members = body.model_dump(mode="json", exclude_none=True)
        spec = body.spec(DEFAULT_TENANT, self._rules)
        with span("input.submit", Kind.CONSUMER):
            submitted = await accept(
                self._tasks,
                self._registered,
                self._rules,
                self._door,
                spec,
                idempotency_key=f"input:{body.correlation_id or entry.id}",
                request_hash=request_hash(json.dumps(members, sort_keys=True).encode()),
            )
        if submitted.joined or not submitted.repeated:
            act = "task.join" if submitted.joined else "task.submit"
            await self._audit.record(_OPERATOR, act, submitted.task.id)
        log.info("input.accepted", task_id=submitted.task.id, repeated=submitted.repeated)
        return {"task_id": submitted.task.id, "status": submitted.task.status}


async def _undecoded(redis: Redis, *command: str | int) -> list[bytes]:
    execute = cast("Callable[..., Awaitable[list[bytes]]]", redis.execute_command)
    return await execute(*command, NEVER_DECODE=[])


def _correlation_of(payload: bytes) -> str | None:
    """Who waits for the answer, also when the payload is refused; None when no key can say it."""
    try:
        members: object = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    correlation = cast("dict[str, object]", members).get("correlation_id")
    if not isinstance(correlation, str) or not 0 < len(correlation) <= 128:
        return None
    try:
        correlation.encode()
    except UnicodeEncodeError:  # JSON can escape half of a surrogate pair
        return None
    return correlation


def _encode(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")


async def _pause(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_PAUSE_SECONDS):
            await stop.wait()
