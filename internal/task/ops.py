"""
Ops: questions a server asks the workers of a home, because it never touches a home's disk itself.

An op waits in the list of its home (or of any worker), is taken by one worker, and answered within
10 s; else the server says so with `Unavailable`. A worker that dies with an op leaves it
unanswered: the asker repeats it, so every kind must be safe to repeat. All keys of an op live 60 s.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from redis.asyncio import Redis
from redis.typing import EncodableT, FieldT

from internal.errors import (
    CodeforgeError,
    Conflict,
    Invalid,
    NotFound,
    Unavailable,
    UpstreamFailed,
)
from internal.ids import sortable_id
from internal.rdb.keys import Keys
from internal.telemetry.tracing import current_traceparent

ANSWER_SECONDS = 10
_TTL_SECONDS = 60
_WAIT_SECONDS = 2
_BLOCK_SECONDS = 5  # the longest a blocking read may take (internal/rdb/client.py)
ANY_HOME = "*"
_TOLD: Mapping[str, type[CodeforgeError]] = {
    kind.code: kind for kind in (UpstreamFailed, NotFound, Conflict, Invalid)
}


class OpKind(StrEnum):
    """What a worker can be asked."""

    READ_DIFF = "read_diff"
    """args tenant, task, base, commit -> the diff that was too big for Redis, packed as base64."""
    READ_PR = "read_pr"
    """args tenant, task -> number, url, state, branch of the task's pull request, as it is now."""
    VERIFY_KEY = "verify_key"
    """args tenant, name -> ok, reason: whether the provider takes a registered key."""
    LIST_WORKSPACES = "list_workspaces"
    """args tenant -> workspaces: task, bytes, created_at, used_at, expires_at (epoch seconds)."""
    DELETE_WORKSPACE = "delete_workspace"
    """args tenant, task -> found, in_use; removed when it was found and is not in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One question, as a worker takes it."""

    id: str
    kind: OpKind
    args: Mapping[str, Any]
    traceparent: str | None = None
    """The span of whoever asks."""


class Ops:
    """Both sides. *blocking* is a client for blocking reads."""

    def __init__(self, redis: Redis, blocking: Redis, keys: Keys) -> None:
        self._redis = redis
        self._blocking = blocking
        self._keys = keys

    async def ask(self, home: str, kind: OpKind, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Ask a worker of *home* (`ANY_HOME`: any) and return its answer.

        Raises:
            Unavailable: nobody answered within 10 s, or the worker could not do it.
            UpstreamFailed, NotFound, Conflict, Invalid: what the worker was told, by its code.
        """
        op = sortable_id()
        record: dict[FieldT, EncodableT] = {
            "kind": kind.value,
            "args": json.dumps(dict(args)),
            "traceparent": current_traceparent() or "",
        }
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(self._keys.op(op), mapping=record)
            pipe.expire(self._keys.op(op), _TTL_SECONDS)
            pipe.rpush(self._keys.ops(home), op)
            pipe.expire(self._keys.ops(home), _TTL_SECONDS)
            await pipe.execute()
        rung = None
        for _ in range(ANSWER_SECONDS // _BLOCK_SECONDS):
            rung = rung or await self._blocking.blpop(
                [self._keys.op_answer(op)], timeout=_BLOCK_SECONDS
            )
        if rung is None:
            raise Unavailable("No worker of the home that has this answered in time.")
        answer: dict[str, Any] = json.loads(str(rung[1]))
        if "error" in answer:
            told = _TOLD.get(str(answer.get("code")), Unavailable)
            raise told(str(answer["error"]))
        return answer

    async def take(self, home: str) -> Op | None:
        """The next op for a worker of *home*; None after 2 s without one."""
        rung = await self._blocking.blpop(
            [self._keys.ops(home), self._keys.ops(ANY_HOME)], timeout=_WAIT_SECONDS
        )
        if rung is None:
            return None
        op = str(rung[1])
        fields = cast(dict[str, str], await self._redis.hgetall(self._keys.op(op)))
        if not fields:  # its asker has given up
            return None
        return Op(
            id=op,
            kind=OpKind(fields["kind"]),
            args=json.loads(fields["args"]),
            traceparent=fields.get("traceparent"),
        )

    async def answer(self, op: Op, answer: Mapping[str, Any]) -> None:
        """Answer an op: members of the result, or `{"error": text, "code": code}`."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.rpush(self._keys.op_answer(op.id), json.dumps(dict(answer)))
            pipe.expire(self._keys.op_answer(op.id), _TTL_SECONDS)
            await pipe.execute()
