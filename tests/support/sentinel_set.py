"""
A master, its replica and three sentinels, all on loopback, that fail over for real.

Clients are the user `default`, whose password is in `url`; sentinels and the replica are the user
`peer`. Switched off on the master, `peer` makes the partition that matters: the master lives on and
answers its clients, while nobody of its set can reach it.
"""

# redis-py leaves its **kwargs and execute_command untyped.
# mypy: disable-error-code="no-untyped-call"
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import cast

from redis.exceptions import RedisError

from internal.rdb.client import connect
from internal.rdb.program import find_server, launch_command
from tests.support.deployment import free_port
from tests.support.waiting import until

_NAME = "main"
_WORD = "client-word"
_PEER = "peer-word"
_NODE = f"""
bind 127.0.0.1
appendonly yes
save ""
repl-diskless-sync-delay 0
requirepass {_WORD}
user peer on >{_PEER} ~* &* +@all
masteruser peer
masterauth {_PEER}
"""
_SENTINEL = f"""
bind 127.0.0.1
sentinel monitor {_NAME} 127.0.0.1 %d 2
sentinel auth-user {_NAME} peer
sentinel auth-pass {_NAME} {_PEER}
sentinel down-after-milliseconds {_NAME} 1000
sentinel failover-timeout {_NAME} 4000
"""


class Node:
    """One Redis of the set, at `port`."""

    def __init__(self, directory: Path, more: str) -> None:
        self.port = free_port()
        self._program = _Program(directory, f"port {self.port}{_NODE}{more}\n")

    @property
    def url(self) -> str:
        return f"redis://:{_WORD}@127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Start it, or start it again with what is on its disk; return when it answers."""
        await self._program.start()
        await until("the node answers", self.role)

    async def kill(self) -> None:
        """`kill -9`, and return when it is dead."""
        await self._program.kill()

    async def role(self) -> str:
        """`master` or `slave`, as it sees itself; empty when it does not answer."""
        async with connect(self.url, role="blocking") as redis:
            try:
                return str((await redis.role())[0])
            except RedisError:
                return ""

    async def follow(self, master: Node) -> None:
        """Be the replica of *master*: what sentinels say some 10 to 25 s later by themselves."""
        async with connect(self.url, role="blocking") as redis:
            await redis.replicaof("127.0.0.1", str(master.port))

    async def follows(self) -> bool:
        """It is a replica that has what its master has."""
        async with connect(self.url, role="blocking") as redis:
            try:
                told = await redis.info("replication")
            except RedisError:
                return False
            return str(told.get("master_link_status")) == "up"

    async def switch_peer(self, state: str) -> None:
        """Whether its set can reach it: `on` or `off`."""
        async with connect(self.url, role="blocking") as redis:
            await redis.execute_command("ACL", "SETUSER", "peer", state)
            if state == "off":
                await redis.execute_command("CLIENT", "KILL", "USER", "peer")


class SentinelSet:
    """Two nodes, of which the first begins as the master; `url` leads to whoever is it."""

    def __init__(self, nodes: Sequence[Node], sentinels: Mapping[int, _Program]) -> None:
        self.first, self.second = nodes
        self._sentinels = sentinels

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{port}" for port in self._sentinels)
        return f"redis+sentinel://:{_WORD}@{places}/{_NAME}/0"

    async def is_ready(self) -> bool:
        """The replica follows, and every sentinel knows it and both other sentinels."""
        for port in self._sentinels:
            async with connect(f"redis://127.0.0.1:{port}", role="blocking") as sentinel:
                try:
                    known = cast("dict[str, int]", await sentinel.sentinel_master(_NAME))
                except RedisError:
                    return False
            if (known["num-slaves"], known["num-other-sentinels"]) != (1, 2):
                return False
        return await self.second.follows()

    async def lose_machine(self) -> None:
        """The first node dies, and with it the sentinel that clients ask first."""
        await self.first.kill()
        await next(iter(self._sentinels.values())).kill()

    async def restart_machine(self) -> None:
        """What was lost starts again; its node thinks that it is the master, until it is told."""
        await self.first.start()
        await next(iter(self._sentinels.values())).start()
        await self.first.follow(self.second)

    async def cut_off(self) -> None:
        """Nobody of the set can reach the first node any more; its clients can."""
        await self.first.switch_peer("off")

    async def join(self) -> None:
        """The set can reach it again, and it is told who is master now."""
        await self.first.switch_peer("on")
        await self.first.follow(self.second)


class _Program:
    """A server with a file of settings of its own, to which Redis and sentinels write."""

    def __init__(self, directory: Path, settings: str, *options: str) -> None:
        self._directory = directory
        self._options = options
        self._process: Process | None = None
        directory.mkdir()
        self._settings = directory / "conf"
        self._settings.write_text(f'dir "{directory}"\n{settings}', encoding="utf-8")

    async def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *launch_command(find_server())[:-1],
                str(self._settings),
                *self._options,
                stdout=log,
                stderr=log,
            )

    async def kill(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def open_sentinel_set(*, more: str = "") -> AsyncGenerator[SentinelSet]:
    """A set that works; *more* are settings of both nodes."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cf-set-", dir="/tmp"))
        first = Node(Path(folder, "first"), more)
        second = Node(Path(folder, "second"), f"{more}\nreplicaof 127.0.0.1 {first.port}")
        for node in (first, second):
            stack.push_async_callback(node.kill)
            await node.start()
        sentinels: dict[int, _Program] = {}
        for number in range(3):
            port = free_port()
            settings = f"port {port}{_SENTINEL % first.port}"
            sentinel = _Program(Path(folder, f"sentinel-{number}"), settings, "--sentinel")
            stack.push_async_callback(sentinel.kill)
            await sentinel.start()
            sentinels[port] = sentinel
        opened = SentinelSet((first, second), sentinels)
        await until("the sentinels know their set", opened.is_ready)
        yield opened
