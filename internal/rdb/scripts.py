"""
Lua scripts as awaitable objects.

Every write to Redis is one script: redis-py repeats commands by itself after a lost reply, so each
script is safe to repeat (it takes an id of the operation, the claim or the object). EVALSHA is
sent first and the source only when the server does not know it (after a restart or a failover).

With `replicas` of 1 or more, a script marked durable is followed by WAIT on the same connection,
so its caller knows whether a replica has it (facts behind it: docs/decisions/0003-queue.md).
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.client import Redis as SyncRedis
from redis.exceptions import NoScriptError

from internal.errors import Unavailable

Reply: TypeAlias = Any
"""What a script answers; each caller decodes it at once, beside the script's documented replies."""

_WAIT_MILLIS = 200


def load_lua(package: str, name: str) -> str:
    """The text of `<package>/<name>.lua`, from the checkout or the wheel."""
    return resources.files(package).joinpath(f"{name}.lua").read_text(encoding="utf-8")


_MARK = load_lua("internal.rdb", "lua/mark")


class Script:
    """One Lua script; await it with a client, keys and arguments."""

    def __init__(self, source: str, *, library: str = "") -> None:
        """*library* is put in front of *source*, behind its `#!lua` line when it has one."""
        self.source = _join(library, source)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(
        self, redis: Redis, keys: Sequence[str], args: Sequence[str | bytes | int | float]
    ) -> Reply:
        """Run it and return Redis' reply; raises redis-py's errors as they are."""
        try:
            return await redis.evalsha(self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return await redis.eval(self.source, len(keys), *keys, *args)

    def sync(
        self, redis: SyncRedis, keys: Sequence[str], args: Sequence[str | bytes | int | float]
    ) -> Reply:
        """As a plain call, on a synchronous client (the heartbeat thread has one)."""
        try:
            return redis.evalsha(self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return redis.eval(self.source, len(keys), *keys, *args)

    async def durable(
        self,
        redis: Redis,
        keys: Sequence[str],
        args: Sequence[str | bytes | int | float],
        *,
        replicas: int,
    ) -> Reply:
        """
        Run it and wait until *replicas* replicas have it (0: as a plain call); keys[0] is the
        prefix of all keys. A repeat is confirmed no sooner than the call that did the work.

        Raises:
            Unavailable: the write was done here but not confirmed by enough replicas in 200 ms;
            repeat
                it with the same operation id.
        """
        if replicas < 1:
            return await self(redis, keys, args)
        async with redis.pipeline(transaction=False) as pipe:
            pipe.eval(self.source, len(keys), *keys, *args)
            pipe.eval(_MARK, 1, keys[0])
            pipe.wait(replicas, _WAIT_MILLIS)
            reply, _, confirmed = await pipe.execute()
        if int(confirmed) < replicas:
            raise Unavailable("The write is not yet on a replica; repeat it.")
        return reply


def _join(library: str, source: str) -> str:
    if not library:
        return source
    if source.startswith("#!"):
        shebang, _, body = source.partition("\n")
        return f"{shebang}\n{library}\n{body}"
    return f"{library}\n{source}"
