"""
A deployment to measure: embedded Redis, and servers and workers as `codeforge up` starts them.

Everything lies in a temporary directory and listens on loopback or a Unix socket only.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml

from benchmarks.programs import python
from codeforge import runtime
from codeforge.parent import environment_for_child
from codeforge.wiring.core import Core, Secrets, open_core
from internal.config.load import load_settings
from internal.config.settings import Settings
from internal.rdb.client import connect
from internal.rdb.embedded import EmbeddedRedis

_READY_SECONDS = 60
_POLL_SECONDS = 0.02

Overrides = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment; what it starts ends with it."""

    directory: Path
    settings: Settings
    secrets: Secrets
    environment: Mapping[str, str]
    redis_pid: int
    _stack: AsyncExitStack

    @property
    def url(self) -> str:
        """Where its server listens."""
        return self.settings.server.base_url

    @property
    def headers(self) -> dict[str, str]:
        """What a client must send."""
        return {"Authorization": f"Bearer {self.secrets.auth_token}"}

    async def server(self) -> Process:
        """A server process that is ready."""
        process = await self._start("serve")
        async with httpx2.AsyncClient(trust_env=False) as client:

            async def is_ready() -> bool:
                try:
                    return (await client.get(f"{self.url}/ready")).status_code == 200
                except httpx2.TransportError:
                    return False

            await until("the server is ready", is_ready)
        return process

    async def worker(self, **variables: str) -> Process:
        """A worker process that is in the registry; *variables* are added to its environment."""
        process = await self._start("worker", **variables)
        async with open_core(self.settings, self.secrets) as core:

            async def is_registered() -> bool:
                known = await core.redis.zrange(core.keys.workers(), 0, -1)
                return any(f"-{process.pid}-" in str(worker) for worker in known)

            await until("the worker is registered", is_registered)
        return process

    async def program(
        self, name: str, *arguments: str, stdio: bool = True, **variables: str
    ) -> Process:
        """A program of this package, `benchmarks.<name>`, on this deployment's settings."""
        return await self._stack.enter_async_context(
            python(
                *(f"benchmarks.{name}", *arguments),
                environment={**self.environment, **variables},
                log=self._log,
                stdio=stdio,
            )
        )

    async def core(self) -> Core:
        """The parts of a process of our own."""
        return await self._stack.enter_async_context(open_core(self.settings, self.secrets))

    def client(self) -> httpx2.AsyncClient:
        """An HTTP client with the token, to be used as a context."""
        return httpx2.AsyncClient(
            base_url=f"{self.url}/api/v1", headers=self.headers, timeout=60, trust_env=False
        )

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    async def _start(self, command: str, **variables: str) -> Process:
        return await self._stack.enter_async_context(
            python(
                *("codeforge", command),
                environment={**self.environment, **variables},
                log=self._log,
            )
        )


@asynccontextmanager
async def open_deployment(
    *, fsync: bool = True, overrides: Overrides | None = None
) -> AsyncGenerator[Deployment]:
    """
    Start the embedded Redis of a new deployment with *overrides* of its settings.

    *fsync* False keeps the append-only file but leaves syncing it to the kernel.
    """
    with tempfile.TemporaryDirectory(prefix="codeforge-bench-") as name:
        directory = Path(name)
        file = directory / "codeforge.yaml"
        file.write_text(yaml.safe_dump(_settings(directory / "data", overrides or {})))
        kept = {key: text for key, text in os.environ.items() if not key.startswith("CODEFORGE_")}
        environment = environment_for_child({**kept, "CODEFORGE_CONFIG": str(file)})
        settings = load_settings(environment, directory).settings
        runtime.start_logs(settings.model_copy(update={"logging": _quiet(settings)}))
        runtime.make_secrets(settings)
        async with EmbeddedRedis(settings.data_dir) as redis, AsyncExitStack() as stack:
            if not fsync:
                await _leave_syncing_to_the_kernel(redis.url)
            environment["CODEFORGE_REDIS__URL"] = redis.url
            if redis.pid is None:
                raise RuntimeError("Redis was just started")
            yield Deployment(
                directory=directory,
                settings=load_settings(environment, directory).settings,
                secrets=runtime.find_secrets(settings),
                environment=environment,
                redis_pid=redis.pid,
                _stack=stack,
            )


async def until(what: str, fact: Callable[[], Awaitable[bool]]) -> None:
    """
    Return once *fact* is true.

    Raises:
        TimeoutError: it was not within a minute.
    """
    deadline = time.monotonic() + _READY_SECONDS
    while not await fact():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not come true: {what}")
        await asyncio.sleep(_POLL_SECONDS)


def _settings(data_dir: Path, overrides: Overrides) -> dict[str, Any]:
    chosen: dict[str, dict[str, Any]] = {
        "server": {"port": _free_port()},
        "workers": {"grace_seconds": 0},
        "git": {"allow_local": True},
        "cli": {"default": "demo"},
        "rate_limit": {"enabled": False},
        "logging": {"format": "json"},
    }
    for section, values in overrides.items():
        chosen[section] = {**chosen.get(section, {}), **values}
    return {"data_dir": str(data_dir), **chosen}


def _quiet(settings: Settings) -> Any:
    """Our own process' logs would stand between the tables."""
    return settings.logging.model_copy(update={"level": "error"})


async def _leave_syncing_to_the_kernel(url: str) -> None:
    client = connect(url, role="command")
    try:
        await client.config_set("appendfsync", "no")
    finally:
        await client.aclose()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
