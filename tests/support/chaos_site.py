"""
A deployment that tests may break: one Redis, homes, and workers.

A `Site` submits tasks and looks at them as a server does. Its workers run in the test's own process
(`worker`) or in processes of their own, which can be killed (`start`). `settle` checks what must be
true of Redis when every task is finished; nothing of a site outlives its test.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from redis.asyncio import Redis

from codeforge.wiring.core import Core, Secrets, open_core
from codeforge.wiring.worker import Worker, open_worker
from internal.config.load import load_settings
from internal.config.settings import Settings
from internal.mcp.model import McpServer
from internal.server.workers import Workers
from internal.task.model import DEFAULT_TENANT, Dedup, Task, TaskConfig, TaskSpec
from internal.task.state import FINISHED, State
from internal.workspace.home import home_id
from internal.workspace.layout import Layout
from tests.support.chaos_process import ServerProcess, WorkerProcess, processes_with
from tests.support.deployment import free_port
from tests.support.keyleak import leaked_keys
from tests.support.repos import Repo, small_repo
from tests.support.waiting import until
from tests.support.world import World, check_at_rest

TENANT = DEFAULT_TENANT
SECRETS = Secrets(
    auth_token="canary-auth-token-0123456789",  # noqa: S106 - nothing is behind it
    master_key=b"canary-master-key-0123456789-abc",
    hmac_secret="canary-hmac-secret-0123456789",  # noqa: S106 - nothing is behind it
)
_SERVER_PATH = os.environ["PATH"]


class Site:
    """One deployment; *homes* are names of `data_dir`s, made when first used."""

    def __init__(self, directory: Path, redis_url: str, **variables: str) -> None:
        self.directory = directory
        self.redis_url = redis_url
        self.data_url = redis_url
        """Where `world` reads: a URL that redis-py understands."""
        self.repo: Repo = small_repo(directory / "repositories" / "small")
        self.variables = {f"CODEFORGE_{name}": value for name, value in variables.items()}
        """Settings of all workers to come, as variables of the environment."""
        self.tasks: list[str] = []
        self.processes: list[WorkerProcess] = []
        self._core: Core | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Site:
        self._core = await self._stack.enter_async_context(open_core(self.settings(), SECRETS))
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
        await self._stack.aclose()

    @property
    def core(self) -> Core:
        assert self._core is not None
        return self._core

    def layout(self, home: str = "a") -> Layout:
        data_dir = self.directory / home
        return Layout(data_dir=data_dir, workspace_base=data_dir / "workspaces")

    def home_id(self, home: str = "a") -> str:
        return home_id(self.layout(home))

    def environment(self, home: str = "a", **variables: str) -> dict[str, str]:
        """What a worker process gets; *variables* are settings without their prefix."""
        named = {f"CODEFORGE_{name}": value for name, value in variables.items()}
        return {
            "PATH": _SERVER_PATH,
            "HOME": str(self.directory),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "CODEFORGE_DATA_DIR": str(self.layout(home).data_dir),
            "CODEFORGE_REDIS__URL": self.redis_url,
            "CODEFORGE_REDIS__EPHEMERAL": "true",
            "CODEFORGE_SERVER__AUTH_TOKEN": SECRETS.auth_token,
            "CODEFORGE_ENCRYPTION__KEY": base64.b64encode(SECRETS.master_key).decode(),
            "CODEFORGE_WEBHOOKS__HMAC_SECRET": SECRETS.hmac_secret,
            "CODEFORGE_GIT__ALLOW_LOCAL": "true",
            "CODEFORGE_GIT__SPARE_TREES": "0",
            "CODEFORGE_EGRESS__ALLOW": "127.0.0.0/8",
            "CODEFORGE_RATE_LIMIT__ENABLED": "false",
            "CODEFORGE_LOGGING__FORMAT": "json",
            **self.variables,
            **named,
        }

    def settings(self, home: str = "a", **variables: str) -> Settings:
        return load_settings(self.environment(home, **variables), self.directory).settings

    async def start(
        self,
        home: str = "a",
        *,
        program: str = "",
        fault: str = "",
        clock_off_seconds: str = "",
        **variables: str,
    ) -> WorkerProcess:
        """
        Start a worker process and return when it takes tasks; *program* is one of `chaos_worker`,
        *fault* the point at which it dies.
        """
        argv = [sys.executable, "-m", "codeforge", "worker"]
        if program:
            argv = [sys.executable, "-m", "tests.support.chaos_worker", program]
        if clock_off_seconds:
            argv = [sys.executable, "-m", "tests.support.skewed_clock", clock_off_seconds]
        environment = self.environment(home, **variables) | _armed(fault)
        log = self.directory / f"worker-{len(self.processes)}.log"
        process = WorkerProcess(argv, environment, home=self.home_id(home), log=log)
        self.processes.append(process)
        await until(f"worker {process.pid} is registered", lambda: self._is_registered(process))
        return process

    async def serve(self, *, fault: str = "", port: int = 0, **variables: str) -> ServerProcess:
        """Start a server process and return when it answers; *fault* as for `start`."""
        port = port or free_port()
        environment = self.environment("server", SERVER__PORT=str(port), **variables)
        process = ServerProcess(
            [sys.executable, "-m", "codeforge", "serve"],
            environment | _armed(fault),
            url=f"http://127.0.0.1:{port}",
            log=self.directory / f"server-{len(self.processes)}.log",
        )
        self.processes.append(process)
        async with self.client(process.url) as client:
            await until(f"{process.url} answers", lambda: _is_ready(client, process))
        return process

    def client(self, url: str) -> httpx2.AsyncClient:
        """A client of the server at *url*, with the operator's token."""
        headers = {"Authorization": f"Bearer {SECRETS.auth_token}"}
        return httpx2.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False)

    @asynccontextmanager
    async def worker(self, home: str = "a", **variables: str) -> AsyncGenerator[Worker]:
        """A worker in this process; it drains at the end."""
        async with (
            open_core(self.settings(home, **variables), SECRETS) as core,
            open_worker(core) as worker,
        ):
            stop = asyncio.Event()
            running = asyncio.create_task(worker.run(stop))
            try:
                yield worker
            finally:
                stop.set()
                await running

    async def submit(
        self,
        prompt: str,
        *,
        repo_url: str | None = None,
        callback_url: str | None = None,
        access_token: str | None = None,
        ai_api_key: str | None = None,
        provider_key: str | None = None,
        mcp_servers: tuple[McpServer, ...] = (),
        dedup: Dedup | None = None,
        **config: Any,
    ) -> str:
        """Queue a task for the demo agent; its id."""
        settings: dict[str, Any] = {"cli": "demo", "timeout_seconds": 120, "silence_seconds": 100}
        spec = TaskSpec(
            tenant=TENANT,
            repo_url=repo_url or self.repo.url,
            prompt=prompt,
            config=TaskConfig(**{**settings, **config}),
            callback_url=callback_url,
            access_token=access_token,
            ai_api_key=ai_api_key,
            provider_key=provider_key,
            mcp_servers=mcp_servers,
            dedup=dedup,
        )
        submitted = await self.core.service.submit(spec)
        self.tasks.append(submitted.task.id)
        return submitted.task.id

    async def instruct(self, task: str, prompt: str) -> None:
        await self.core.service.instruct(TENANT, task, prompt)

    async def cancel(self, task: str) -> State | None:
        return await self.core.service.cancel(TENANT, task)

    async def task(self, task: str) -> Task:
        return await self.core.service.get(TENANT, task, with_iterations=True)

    async def until_task(self, task: str, what: str, fact: Callable[[Task], object]) -> Task:
        """The task, once *fact* holds of it."""
        found: list[Task] = []

        async def holds() -> bool:
            found[:] = [await self.task(task)]
            return bool(fact(found[0]))

        await until(f"{what} ({task})", holds)
        return found[0]

    async def finished(self, task: str) -> Task:
        return await self.until_task(task, "finished", lambda found: found.status in FINISHED)

    async def events(self, task: str) -> list[dict[str, Any]]:
        stored = await self.core.service.events(TENANT, task, after=0, limit=10_000)
        return [json.loads(event.envelope) for event in stored]

    async def names(self, task: str) -> list[str]:
        """`type/event` of the whole log."""
        return [f"{event['type']}/{event['event']}" for event in await self.events(task)]

    async def said(self, task: str) -> list[str]:
        """The texts of the agent."""
        return [e["data"]["text"] for e in await self.events(task) if e["event"] == "text"]

    async def until_said(self, task: str, text: str, *, times: int = 1) -> None:
        """Return once the agent has said *text* so often."""

        async def heard() -> bool:
            return (await self.said(task)).count(text) >= times

        await until(f"{text!r} was said by {task}", heard)

    async def patch(self, task: str) -> bytes:
        """The newest recorded work, as Redis has it."""
        stored, _ = await self.core.service.diff(TENANT, task)
        return stored.diff.patch

    async def world(self) -> World:
        """Everything in Redis; byte for byte, because stored diffs are no text."""
        async with Redis.from_url(
            self.data_url, decode_responses=True, encoding="latin-1", protocol=3
        ) as redis:
            return await World.read(redis, self.core.keys)

    async def settle(self) -> None:
        """Check that all tasks are finished, and that Redis holds nothing but their records."""
        for task in self.tasks:
            await self.finished(task)
        await self.core.queue.reap(home_grace_seconds=60)  # empty lists of homes go with the chores
        check_at_rest(await self.world())
        leaked = await leaked_keys(self.core.redis)
        assert not leaked, f"keys without TTL are left: {leaked}"

    def agents(self) -> list[str]:
        """Processes of agents of this site, whoever started them."""
        homes = [self.home_id(path.name) for path in self.directory.iterdir() if _is_home(path)]
        return [line for home in homes for line in processes_with(f"CODEFORGE_RUN={home}.")]

    def claims_on_disk(self, task: str, home: str = "a") -> set[str]:
        """The claims that have anything on the disk of *home*."""
        layout = self.layout(home)
        work = layout.works / TENANT / f"{task}.git"
        below = [layout.workspace_base / task, work / "indexes", work / "refs" / "claims"]
        below += [layout.outputs / TENANT / task, layout.sessions / TENANT / task]
        return {
            path.name.removesuffix(".lock")
            for folder in below
            for path in _entries(folder)
            if not path.name.startswith(".")
        }

    async def registered(self) -> list[str]:
        """The ids of the workers that live, as Redis knows them."""
        return [worker.id for worker in await Workers(self.core.redis, self.core.keys).list()]

    async def _is_registered(self, process: WorkerProcess) -> bool:
        assert process.exit_status is None, f"the worker ended:\n{process.log()}"
        return any(f"-{process.pid}-" in worker for worker in await self.registered())


@asynccontextmanager
async def open_site(redis_url: str, **variables: str) -> AsyncGenerator[Site]:
    """
    A site in a directory of its own, with settings named without their prefix; no process of an
    agent may be left at the end.
    """
    # A socket's path has room for about 100 bytes, and TMPDIR may be long.
    directory = Path(tempfile.mkdtemp(prefix="cf-chaos-", dir="/tmp"))
    try:
        site = Site(directory, redis_url, **variables)
        async with site:
            yield site
        await until("no agent is left", lambda: not site.agents())
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _entries(folder: Path) -> list[Path]:
    """What lies in *folder*; nothing when it is not there, or is just being removed."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _armed(fault: str) -> dict[str, str]:
    return {"FAULT": f"after:{fault}"} if fault else {}


async def _is_ready(client: httpx2.AsyncClient, process: ServerProcess) -> bool:
    assert process.exit_status is None, f"the server ended:\n{process.log()}"
    try:
        return (await client.get("/ready")).is_success
    except httpx2.TransportError:
        return False


def _is_home(path: Path) -> bool:
    return (path / "home-id").exists()
