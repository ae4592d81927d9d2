"""
One batch of a round: a deployment is made, tortured while clients use it, and judged.

Redis is a server of its own with its log on disk before it answers. Workers and servers are
processes; each worker reaches Redis over a network of its own.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from internal.rdb.embedded import EmbeddedRedis
from tests.support.chaos_process import processes_with
from tests.support.chaos_round.book import Book
from tests.support.chaos_round.clients import Clients
from tests.support.chaos_round.fleet import Fleet, Nursery, Place, open_nursery
from tests.support.chaos_round.hooks import Hooks, open_hooks
from tests.support.chaos_round.judge import Verdict, expected_hooks, judge
from tests.support.chaos_round.ledger import Ledger, read_ledger
from tests.support.chaos_round.network import network_before
from tests.support.chaos_round.plan import TaskPlan, plan_strikes, plan_tasks
from tests.support.chaos_round.strikes import Striker
from tests.support.chaos_round.submitting import AWAY, Places
from tests.support.chaos_site import Site, open_site
from tests.support.deployment import free_port
from tests.support.forge import Forge, open_forge
from tests.support.keyleak import leaked_keys
from tests.support.world import World, check_at_rest

_ROOT = Path(__file__).parents[3]
_WORKERS = 6
_SERVERS = 2
_SLOTS = 12
_SETTLE_SECONDS = 300
_HOOKS_SECONDS = 120
_REST_SECONDS = 30
_LAST_EVENTS = 6
_NEW_FIELDS = ("permit", "admitted", "spent", "pause", "ran", "ran_usage")
"""Of a run, and unknown to the release before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """*seed* is that of the batch; *first* the number of its first task."""

    seed: str
    first: int
    count: int
    real_percent: int = 10
    at_once: int = 100
    """Tasks that are not finished at any time."""
    old_tree: Path | None = None
    """Another version of the project, which half of the workers run."""
    keeps_all: bool = False
    """Also the ledger and the logs of a clean batch."""


class Stopwatch:
    """Where the time went: seconds by the name of what ended."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._began = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name], self._began = round(now - self._began, 1), now


@dataclass(kw_only=True)
class BatchResult:
    """What became of a batch; it can be written down as JSON."""

    tasks: int
    seconds: float
    faults: dict[str, int]
    calls: dict[str, int]
    outcomes: dict[str, dict[str, int]]
    recoveries: list[float]
    recoveries_alone: list[float]
    max_prs: int
    pulls: int
    hooks: int
    hook_attempts: int
    phases: dict[str, float]
    """Seconds of each part of the batch."""
    ticks: int
    lost: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    zombies: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])

    @property
    def is_clean(self) -> bool:
        """Whether everything is as promised."""
        return not (self.lost or self.doubled or self.zombies or self.wrong) and self.max_prs <= 1

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def of_json(cls, text: str) -> BatchResult:
        return cls(**json.loads(text))


@dataclass(frozen=True, kw_only=True)
class _Ground:
    """Where a batch happens."""

    plan: BatchPlan
    site: Site
    redis: EmbeddedRedis
    forge: Forge
    hooks: Hooks
    fleet: Fleet
    ledger: Ledger
    ledgers: Path
    servers: Sequence[str]


async def run_batch(plan: BatchPlan, kept: Path) -> BatchResult:
    """Run it; the logs and the ledger of one that is not clean are moved to *kept*."""
    watch = Stopwatch()
    async with _open_ground(plan) as ground:
        book = Book()
        strikes = Striker(ground.fleet, ground.redis, ground.hooks, ground.ledger.write)
        watch.lap("starting")
        unfinished = await _torture(ground, book, strikes, watch)
        wrong = await _come_to_rest(ground, book, watch)
        world = await ground.site.world()
        verdict = judge(world, read_ledger(ground.ledgers), book)
        verdict.lost += unfinished
        verdict.wrong += wrong
        await ground.fleet.leave("server")
        verdict.wrong += [f"{how}: {n} times" for how, n in ground.fleet.exits.items()]
        watch.lap("judging")
        result = _result(ground, book, strikes, verdict, watch)
        if plan.keeps_all or not result.is_clean:
            _keep(ground, kept)
    return result


@asynccontextmanager
async def _open_ground(plan: BatchPlan) -> AsyncGenerator[_Ground]:
    async with AsyncExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="cf-r-", dir="/tmp"))
        )
        redis = await stack.enter_async_context(EmbeddedRedis(directory))
        site = await stack.enter_async_context(open_site(redis.url))
        forge = stack.enter_context(open_forge(directory / "forge"))
        hooks = await stack.enter_async_context(open_hooks(plan.seed))
        ledgers, pulls = directory / "ledger", directory / "pulls"
        ledgers.mkdir()
        pulls.mkdir()
        site.variables |= {
            "CHAOS_LEDGER": str(ledgers),
            "CHAOS_PULLS": str(pulls),
            "CODEFORGE_GIT__PROVIDER_DOMAINS": '{"127.0.0.1": "github"}',
            "CODEFORGE_WORKERS__CONCURRENCY": str(_SLOTS),
            "CODEFORGE_WORKERS__GRACE_SECONDS": "2",
            "CODEFORGE_WORKERS__ISOLATION": "none",
            "CODEFORGE_WEBHOOKS__RETRY_COUNT": "8",
            "CODEFORGE_WEBHOOKS__RETRY_DELAY": "0.5",
            "CODEFORGE_QUEUE__REPO_CONCURRENCY": "16",
            "CODEFORGE_LOGGING__LEVEL": "warning",
        }
        ledger = Ledger(ledgers)
        fleet = Fleet(await _places(stack, plan, site, directory), ledger.write)
        stack.push_async_callback(fleet.close)
        await fleet.start()
        servers = [place.environment["URL"] for place in fleet.of("server")]
        yield _Ground(
            plan=plan,
            site=site,
            redis=redis,
            forge=forge,
            hooks=hooks,
            fleet=fleet,
            ledger=ledger,
            ledgers=ledgers,
            servers=servers,
        )


async def _places(
    stack: AsyncExitStack, plan: BatchPlan, site: Site, directory: Path
) -> list[Place]:
    new = await stack.enter_async_context(open_nursery(_ROOT, directory))
    old = new
    if plan.old_tree is not None:
        old = await stack.enter_async_context(open_nursery(plan.old_tree, directory))
    places: list[Place] = []
    for number in range(_WORKERS + _SERVERS):
        is_server = number >= _WORKERS
        url = urlsplit(site.redis_url)
        network = await stack.enter_async_context(network_before(url.path))
        variables = {"REDIS__URL": f"redis://:{url.password}@127.0.0.1:{network.port}/0"}
        nursery: Nursery = old if number % 2 and not is_server else new
        home = f"server-{number}" if is_server else f"home-{number // 2}"
        environment = site.environment(home, **variables)
        if is_server:
            port = free_port()
            environment |= {
                "CODEFORGE_SERVER__PORT": str(port),
                "URL": f"http://127.0.0.1:{port}",
            }
        places.append(
            Place(
                name=f"{'server' if is_server else 'worker'}-{number}",
                role="server" if is_server else "worker",
                nursery=nursery,
                environment=environment,
                network=network,
                log=directory / f"place-{number}.log",
            )
        )
    return places


async def _torture(ground: _Ground, book: Book, striker: Striker, watch: Stopwatch) -> list[str]:
    """All clients live while everything is struck; what had not ended in time, in words."""
    plan = ground.plan
    places = Places(servers=ground.servers, hook_url=ground.hooks.url, hosted_url=ground.forge.url)
    clients = Clients(ground.site, book, places, seed=plan.seed)
    calm = asyncio.Event()
    watching = asyncio.create_task(clients.watch.run())
    striking = asyncio.create_task(striker.run(plan_strikes(plan.seed), calm))
    tasks = plan_tasks(
        plan.seed,
        first=plan.first,
        count=plan.count,
        real_percent=plan.real_percent,
        with_dedup=plan.old_tree is None,  # a worker of before knows no such keys
    )
    lives = await _begin_all(clients, tasks, at_once=plan.at_once)
    calm.set()
    await striking
    watch.lap("under faults")
    try:
        _, late = await asyncio.wait(lives, timeout=_SETTLE_SECONDS)
        for life in late:
            life.cancel()
        ended = await asyncio.gather(*lives, return_exceptions=True)
        broken = [error for error in ended if isinstance(error, Exception)]
        if broken:
            raise ExceptionGroup("clients broke", broken)
        return await _describe(ground, clients.watch.unfinished) if late else []
    finally:
        watch.lap("until all ended")
        watching.cancel()
        await clients.close()


async def _begin_all(
    clients: Clients, tasks: Sequence[TaskPlan], *, at_once: int
) -> list[asyncio.Task[None]]:
    """Begin each as soon as there is room; returns when the last one began."""
    room = asyncio.Semaphore(at_once)
    lives: list[asyncio.Task[None]] = []
    for plan in tasks:
        await room.acquire()
        life = asyncio.create_task(clients.live(plan))
        life.add_done_callback(lambda _: room.release())
        lives.append(life)
    return lives


async def _describe(ground: _Ground, unfinished: Sequence[tuple[str, str]]) -> list[str]:
    world = await ground.site.world()
    said: list[str] = []
    for tenant, task in unfinished:
        events = world.events(f"{tenant}/{task}")[-_LAST_EVENTS:]
        said.append(f"{tenant}/{task} did not end: {json.dumps(events)}")
    return said or ["a client waits for a viewer or an answer"]


async def _come_to_rest(ground: _Ground, book: Book, watch: Stopwatch) -> list[str]:
    """Wait for the last webhooks, let all workers leave, and look what is left; what is wrong."""
    wanted = expected_hooks(await ground.site.world(), book)
    await ground.hooks.until(wanted, seconds=_HOOKS_SECONDS)
    watch.lap("until all were told")
    missing = wanted - ground.hooks.bodies.keys()
    wrong = [f"webhook {name} never arrived" for name in sorted(missing)]
    wrong += [f"webhook {name} is of no event" for name in ground.hooks.bodies.keys() - wanted]
    changed = [name for name, bodies in ground.hooks.bodies.items() if len(bodies) > 1]
    wrong += [f"webhook {name} came with different bodies" for name in changed]
    await ground.fleet.leave("worker")
    return wrong + await _leftovers(ground)


async def _leftovers(ground: _Ground) -> list[str]:
    """What Redis and this machine still hold that no finished task needs."""
    site, left = ground.site, list[str]()
    deadline = time.monotonic() + _REST_SECONDS
    while True:
        left = await _look_for_leftovers(site, is_mixed=ground.plan.old_tree is not None)
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.5)


async def _look_for_leftovers(site: Site, *, is_mixed: bool) -> list[str]:
    try:
        await site.core.queue.reap(home_grace_seconds=60)
        leaked = await leaked_keys(site.core.redis)
        world = await site.world()
        if is_mixed:
            _forget_new_fields(world)
        check_at_rest(world)
    except AssertionError as error:
        return [f"not at rest: {error}"]
    except AWAY as error:
        return [f"not at rest: {error}"]
    left = [f"key {key} is left" for key in leaked]
    left += [f"webhook {name} waits" for name in world.get("outbox")]
    homes = [
        site.home_id(path.name) for path in site.directory.iterdir() if path.name[:5] == "home-"
    ]
    alive = [line for home in homes for line in processes_with(f"CODEFORGE_RUN={home}.")]
    return left + [f"process {line} is left" for line in alive]


def _forget_new_fields(world: World) -> None:
    """A script of before leaves what it does not know; whoever reads it sees whose it was."""
    for task in world.tasks.values():
        for name in _NEW_FIELDS:
            task.pop(name, None)


def _result(
    ground: _Ground, book: Book, striker: Striker, verdict: Verdict, watch: Stopwatch
) -> BatchResult:
    for pull in ground.forge.pulls:
        verdict.pulls[pull.head] += 1
    counted: dict[str, Any] = {kind: dict(row) for kind, row in verdict.outcomes.items()}
    return BatchResult(
        tasks=len(book.accepted),
        seconds=sum(watch.laps.values()),
        phases=watch.laps,
        ticks=striker.ticks,
        faults={str(fault): n for fault, n in striker.done.items()},
        calls=dict(book.calls),
        outcomes=counted,
        recoveries=verdict.recoveries,
        recoveries_alone=verdict.recoveries_alone,
        max_prs=max(verdict.pulls.values(), default=0),
        pulls=verdict.pulls.total(),
        hooks=len(ground.hooks.bodies),
        hook_attempts=ground.hooks.attempts,
        lost=verdict.lost,
        doubled=verdict.doubled,
        zombies=verdict.zombies,
        wrong=verdict.wrong,
    )


def _keep(ground: _Ground, kept: Path) -> None:
    """The ledger and the logs, for whoever looks what happened."""
    kept.mkdir(parents=True, exist_ok=True)
    for file in [*ground.ledgers.parent.glob("*.log"), *ground.ledgers.iterdir()]:
        (kept / file.name).write_bytes(file.read_bytes())
