"""A worker of this machine's home, put together over a core."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.client import Redis as SyncRedis

from codeforge.parent import environment_for_child
from codeforge.wiring.agents import agent_host
from codeforge.wiring.core import Core, Loop, run_loops
from codeforge.wiring.disk import Disk
from codeforge.wiring.isolation import open_isolation
from codeforge.wiring.machine import Machine
from codeforge.wiring.policy import open_prices, write_limits
from codeforge.wiring.publishing import publisher, pull_reader
from codeforge.wiring.speaker import Speaker
from internal.clock import ToldClock
from internal.config.settings import Settings
from internal.errors import Unavailable
from internal.keys.resolver import KeyResolver
from internal.process.leftovers import end_leftovers
from internal.rdb.client import connect, connect_sync, unavailable
from internal.task.facts import run_facts
from internal.task.ops import OpKind
from internal.task.queue import Lane, TaskQueue
from internal.worker.admission import Admission
from internal.worker.alone import AloneStarter
from internal.worker.budgets import Budgets
from internal.worker.control import ControlLoop
from internal.worker.executor import Executor
from internal.worker.keycheck import KeyChecker
from internal.worker.lease import Heartbeat
from internal.worker.ops import Answer, DiffReader, OpsLoop
from internal.worker.pool import EitherRunner, Pool, Runner
from internal.worker.secrets import SecretSource
from internal.workspace.sweep import Ask

log = structlog.get_logger(__name__)

_CHILD_SECONDS = 30.0
"""How long a worker that runs alone may take behind its grace."""
_LOOPS_SECONDS = 15.0
"""What ends a loop is a blocking read, a webhook on its way, a round of the sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """
    A pool with its loops; `run` returns when it has drained after *stop*.

    *claiming* ends when it is told to stop; *serving* goes on until the last run has ended.
    """

    id: str
    home: str
    claiming: tuple[Loop, ...]
    serving: tuple[Loop, ...]
    heartbeat: Heartbeat
    queue: TaskQueue
    info: Mapping[str, Any]

    async def run(self, stop: asyncio.Event) -> None:
        """
        Register, claim until *stop*, drain, and leave the registry.

        Raises:
            Unavailable: Redis is away at the start; once it has begun, a worker waits for it.
        """
        with unavailable():
            await self.queue.register(self.id, self.home, self.info)
        self.heartbeat.start()
        ended = asyncio.Event()
        ticking = asyncio.create_task(self.heartbeat.tick())
        serving = asyncio.create_task(run_loops(self.serving, ended))
        claiming = asyncio.create_task(run_loops(self.claiming, stop))
        try:
            await asyncio.wait({claiming, serving}, return_when=asyncio.FIRST_COMPLETED)
            stop.set()  # a loop that broke ends the worker, in good order
            await claiming
        finally:
            ended.set()
            await asyncio.wait({serving}, timeout=_LOOPS_SECONDS)
            await asyncio.to_thread(self.heartbeat.end)
            ticking.cancel()
        await self._leave()
        if serving.done():
            serving.result()
        else:
            log.warning("worker.loops_cut", after_seconds=_LOOPS_SECONDS)
            serving.cancel()

    async def _leave(self) -> None:
        try:
            with unavailable():
                await self.queue.unregister(self.id, self.home)
        except (Unavailable, OSError) as error:  # the record expires by itself
            log.warning("worker.leave_unheard", error=str(error))


@asynccontextmanager
async def open_worker(
    core: Core, *, alone: bool = False, alone_argv: Sequence[str] = ()
) -> AsyncGenerator[Worker]:
    """
    A worker on this machine's home. *alone* runs only what lost two workers, one at a time; another
    worker starts such a one with *alone_argv*.

    Ends what a dead worker of this home left running first.

    Raises:
        Invalid: agents cannot be isolated as the settings want it.
        Unavailable: Redis is away.
    """
    settings = core.settings
    isolation = await open_isolation(settings)
    if isolation.sandbox is None:
        log.warning("worker.not_isolated", reason=isolation.reason or "workers.isolation is none")
    disk = Disk(settings, borrow=isolation.sandbox is not None)
    ended = await asyncio.to_thread(end_leftovers, disk.home)
    if ended:
        log.warning("worker.leftovers_ended", processes=ended)
    clock = ToldClock()
    agents = agent_host(settings, disk, isolation, clock)
    await agents.probe()
    machine = Machine(disk=disk, agents=agents, clock=clock)
    await write_limits(core.store, core.policy)
    url = settings.redis.url.get_secret_value()
    subscriber, sync = connect(url, role="pubsub", max_connections=2), connect_sync(url)
    try:
        yield _worker(core, machine, subscriber, sync, alone=alone, alone_argv=alone_argv)
    finally:
        sync.close()
        await subscriber.aclose()


def _worker(
    core: Core,
    machine: Machine,
    subscriber: Redis,
    sync: SyncRedis,
    *,
    alone: bool,
    alone_argv: Sequence[str],
) -> Worker:
    disk = machine.disk
    ask = disk.ask(core.redis, core.keys)
    sweep, quota = disk.sweep(ask), disk.quota(ask)
    speaker = Speaker(core, machine, sync, quota, alone=alone)
    starter = _starter(core.settings, alone_argv)
    beat = _heartbeat(core.settings, speaker, on_alone=_ignore if alone else starter.ring)
    resolver = KeyResolver(core.key_store, core.box, machine.clock, os.environ)
    runners = _runners(core, machine, resolver, alone=alone)
    pools = [_pool(core, runner, beat, speaker, lane) for lane, runner in runners.items()]
    control = ControlLoop(subscriber, core.keys, beat, on_erased=sweep.ring)
    shared = (core.reaper, core.dispatcher, control)
    own = (
        sweep,
        disk.spares,
        quota,
        disk.mirror_budget,
        OpsLoop(core.ops, _answers(core, machine, resolver, ask), home=disk.home),
    )
    return Worker(
        id=speaker.worker,
        home=disk.home,
        claiming=(*pools,) if alone else (*pools, starter),
        serving=shared if alone else (*shared, *own),
        heartbeat=beat,
        queue=core.queue,
        info=speaker.info(0),
    )


def _starter(settings: Settings, argv: Sequence[str]) -> AloneStarter:
    return AloneStarter(
        argv,
        environment_for_child(os.environ),
        settings.data_dir / "alone.lock",
        stop_seconds=settings.workers.grace_seconds + _CHILD_SECONDS,
    )


def _heartbeat(settings: Settings, speaker: Speaker, *, on_alone: Callable[[], None]) -> Heartbeat:
    return Heartbeat(
        speaker.send,
        lease_seconds=settings.workers.lease_seconds,
        outage_grace_seconds=settings.workers.outage_grace_seconds,
        info=speaker.info,
        on_alone=on_alone,
    )


def _runners(
    core: Core, machine: Machine, resolver: KeyResolver, *, alone: bool
) -> Mapping[Lane, Runner]:
    domains = core.settings.git.provider_domains
    secrets = SecretSource(core.box, resolver, core.mcp, domains=domains)
    admission = Admission(core.queue, machine.agents, resolver, core.box)
    executor = _executor(core, machine, secrets, admission)
    publishing = publisher(core, machine.disk, machine.agents, secrets)
    if alone:
        return {Lane.ALONE: EitherRunner(executor, publishing)}
    return {Lane.AGENT: executor, Lane.PUBLISH: publishing}


def _executor(
    core: Core, machine: Machine, secrets: SecretSource, admission: Admission
) -> Executor:
    return Executor(
        core.queue,
        machine.disk.preparer(core.service),
        machine.disk.workspaces,
        machine.agents,
        secrets=secrets,
        admission=admission,
        policy=core.policy,
        budgets=Budgets(
            core.queue,
            allowed=lambda task: core.policy.budget(run_facts(task)),
            prices=open_prices(core.settings),
            clock=machine.clock,
        ),
        clock=machine.clock,
        rule_of=core.policy.escalation,
    )


def _answers(
    core: Core, machine: Machine, resolver: KeyResolver, ask: Ask
) -> Mapping[OpKind, Answer]:
    workspaces = machine.disk.answers(ask)
    return {
        OpKind.READ_DIFF: DiffReader(machine.disk.works).answer,
        OpKind.READ_PR: pull_reader(core, resolver).answer,
        OpKind.VERIFY_KEY: KeyChecker(core.registered, core.http, machine.clock).answer,
        OpKind.LIST_WORKSPACES: workspaces.list,
        OpKind.DELETE_WORKSPACE: workspaces.delete,
    }


def _pool(core: Core, runner: Runner, beat: Heartbeat, speaker: Speaker, lane: Lane) -> Pool:
    workers = core.settings.workers
    return Pool(
        core.queue,
        runner,
        beat,
        worker=speaker.worker,
        home=speaker.home,
        slots=workers.publish_concurrency if lane is Lane.PUBLISH else speaker.slots,
        lanes=(lane,),
        grace_seconds=workers.grace_seconds,
        until_empty=lane is Lane.ALONE,
    )


def _ignore() -> None:
    """A worker that runs alone starts no other one."""
