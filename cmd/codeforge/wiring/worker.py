"""A worker of this machine's home, put together over a core."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Any

import structlog

from codeforge import __version__
from codeforge.parent import environment_for_child
from codeforge.wiring.core import Core, Loop, run_loops
from internal.agent import catalog
from internal.agent.budget import EventLimits
from internal.clock import SystemClock
from internal.config.settings import Settings
from internal.control.gate import default_limits
from internal.egress.guard import Guard
from internal.git.cache import MirrorCache
from internal.git.cli import Git
from internal.git.credentials import SshFiles
from internal.git.workstore import WorkStore
from internal.ids import sortable_id
from internal.process.leftovers import end_leftovers
from internal.rdb.client import connect, connect_sync
from internal.task.queue import BeatReply, Lane, TaskQueue, heartbeat
from internal.task.service import TaskService
from internal.worker.agents import AgentHost, AgentSettings, HostSettings
from internal.worker.alone import AloneStarter
from internal.worker.control import ControlLoop
from internal.worker.executor import Executor
from internal.worker.lease import Heartbeat
from internal.worker.ops import OpsLoop
from internal.worker.pool import Pool
from internal.worker.prepare import Preparer, RemotePolicy
from internal.workspace.folders import ClaimFolders, Sessions
from internal.workspace.home import home_id
from internal.workspace.layout import Layout
from internal.workspace.manager import Workspaces
from internal.workspace.spare import Spares, SpareSettings
from internal.workspace.sweep import Sweep, TaskClaims

log = structlog.get_logger(__name__)

GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A pool with its loops; `run` returns when it has drained after *stop*."""

    id: str
    home: str
    pool: Pool
    heartbeat: Heartbeat
    queue: TaskQueue
    loops: tuple[Loop, ...]
    info: Callable[[], Mapping[str, Any]]

    async def run(self, stop: asyncio.Event) -> None:
        """Register, claim until *stop*, drain, and leave the registry."""
        await self.queue.register(self.id, self.home, self.info())
        self.heartbeat.start()
        ended = asyncio.Event()
        ticking = asyncio.create_task(self.heartbeat.tick())
        loops = asyncio.create_task(run_loops(self.loops, ended))
        pool = asyncio.create_task(self.pool.run(stop))
        try:
            await asyncio.wait({pool, loops}, return_when=asyncio.FIRST_COMPLETED)
            stop.set()  # a loop that broke ends the worker, in good order
            await pool
        finally:
            ended.set()
            await asyncio.wait({loops})
            ticking.cancel()
            await asyncio.to_thread(self.heartbeat.end)
        await loops
        await self.queue.unregister(self.id, self.home)


@asynccontextmanager
async def open_worker(
    core: Core, *, alone: bool = False, alone_argv: Sequence[str] = ()
) -> AsyncGenerator[Worker]:
    """
    A worker on this machine's home. *alone* runs only what lost two workers, one at a time; another
    worker starts such a one with *alone_argv*.

    Ends what a dead worker of this home left running first.
    """
    settings = core.settings
    layout = Layout(data_dir=settings.data_dir, workspace_base=settings.tasks.workspace_base)
    home = home_id(layout)
    ended = await asyncio.to_thread(end_leftovers, home)
    if ended:
        log.warning("worker.leftovers_ended", processes=ended)
    disk = _Disk(settings, layout, home)
    agents = _agent_host(settings, layout, home)
    await agents.probe()
    await core.store.set_limits(
        default_limits(
            tenant_concurrency=settings.queue.tenant_concurrency,
            repo_concurrency=settings.queue.repo_concurrency,
        )
    )
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{sortable_id()[-6:]}"
    slots = 1 if alone else settings.workers.concurrency
    starter = AloneStarter(
        alone_argv,
        environment_for_child(os.environ),
        settings.data_dir / "alone.lock",
    )
    subscriber = connect(settings.redis.url.get_secret_value(), role="pubsub", max_connections=2)
    sync = connect_sync(settings.redis.url.get_secret_value(), timeout_seconds=1)
    pools: list[Pool] = []

    def info() -> dict[str, Any]:
        return {
            "host": socket.gethostname(),
            "slots": slots,
            "busy": pools[0].busy,
            "version": __version__,
            "isolation": agents.isolation,
            "agents": agents.record(),
        }

    def send(claims: Sequence[tuple[str, str]], record: str) -> BeatReply:
        return heartbeat(
            sync,
            core.keys,
            worker=worker_id,
            home=home,
            lease_seconds=settings.workers.lease_seconds,
            info=record,
            claims=claims,
        )

    beat = Heartbeat(
        send,
        lease_seconds=settings.workers.lease_seconds,
        outage_grace_seconds=settings.workers.outage_grace_seconds,
        info=info,
        on_alone=(lambda: None) if alone else starter.ring,
    )
    executor = Executor(
        core.queue,
        disk.preparer(core.service),
        disk.workspaces,
        agents,
        box=core.box,
        clock=SystemClock(),
        random=SystemRandom(),
    )
    pool = Pool(
        core.queue,
        executor,
        beat,
        worker=worker_id,
        home=home,
        slots=slots,
        lanes=(Lane.ALONE,) if alone else (Lane.AGENT,),
        grace_seconds=settings.workers.grace_seconds,
        until_empty=alone,
    )
    pools.append(pool)
    shared: tuple[Loop, ...] = (
        core.reaper,
        core.dispatcher,
        ControlLoop(subscriber, core.keys, beat),
    )
    own: tuple[Loop, ...] = (
        disk.sweep(core.queue),
        disk.spares,
        starter,
        OpsLoop(core.ops, disk.works, home=home),
    )
    try:
        yield Worker(
            id=worker_id,
            home=home,
            pool=pool,
            heartbeat=beat,
            queue=core.queue,
            loops=shared if alone else (*shared, *own),
            info=info,
        )
    finally:
        sync.close()
        await subscriber.aclose()


class _Disk:
    """Everything of a home that lies on its disk."""

    def __init__(self, settings: Settings, layout: Layout, home: str) -> None:
        self._settings = settings
        self._layout = layout
        git = Git(home=layout.git_home, environment=os.environ)
        named = [host for host in settings.git.allow_hosts if "*" not in host]
        guard = Guard([*settings.egress.allow, *named])
        self.mirrors = MirrorCache(
            layout.mirrors,
            git,
            vet=guard.vet,
            ssh=SshFiles(
                key_file=_path(settings.git.ssh_key_file),
                known_hosts_file=_path(settings.git.ssh_known_hosts_file),
            ),
        )
        self.works = WorkStore(layout.works, git, self.mirrors)
        self.sessions = Sessions(layout.sessions)
        self.outputs = ClaimFolders(layout.outputs)
        spare = SpareSettings(
            per_repository=settings.git.spare_trees,
            budget_bytes=int(settings.git.mirror_budget_gb * GIB),
        )
        self.spares = Spares(layout, home, spare, borrow=False)
        self.workspaces = Workspaces(
            layout, home, spares=self.spares, sessions=self.sessions, borrow=False
        )

    def preparer(self, service: TaskService) -> Preparer:
        policy = RemotePolicy(
            allow_local=self._settings.git.allow_local,
            allow_hosts=tuple(self._settings.git.allow_hosts),
        )
        return Preparer(
            service, self.mirrors, self.works, self.workspaces, self._layout, policy=policy
        )

    def sweep(self, queue: TaskQueue) -> Sweep:
        async def ask(refs: Any) -> dict[tuple[str, str], TaskClaims]:
            known = await queue.claims_of(list(refs))
            return {
                ref: TaskClaims(leased=claims.leased, recorded=claims.recorded)
                for ref, claims in known.items()
            }

        return Sweep(
            self.workspaces,
            (self.works, self.sessions, self.outputs),
            ask=ask,
            clock=SystemClock(),
            workspace_ttl_seconds=self._settings.tasks.workspace_ttl,
        )


def _agent_host(settings: Settings, layout: Layout, home: str) -> AgentHost:
    configured = {
        "claude-code": settings.cli.claude_code,
        "demo": settings.cli.demo,
    }
    return AgentHost(
        catalog.AVAILABLE,
        {
            name: AgentSettings(
                executable=cli.path or None,
                environment_names=tuple(cli.env),
                default_model=cli.default_model or None,
            )
            for name, cli in configured.items()
        },
        HostSettings(
            environment=dict(os.environ),
            event_limits=EventLimits(
                max_bytes=settings.events.max_bytes,
                max_event_bytes=settings.events.max_event_bytes,
            ),
            outage_grace_seconds=settings.workers.outage_grace_seconds,
            home=home,
        ),
        layout=layout,
        clock=SystemClock(),
    )


def _path(text: str) -> Path | None:
    return Path(text) if text else None
