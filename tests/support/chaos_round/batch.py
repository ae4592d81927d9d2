"""One batch of a round: a deployment is made, tortured while clients use it, and judged."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from traceback import format_exception
from typing import Any

from tests.support.chaos_round.book import Book
from tests.support.chaos_round.clients import Clients
from tests.support.chaos_round.ground import BatchPlan, Ground, open_ground
from tests.support.chaos_round.judge import Verdict, expected_hooks, judge
from tests.support.chaos_round.ledger import read_ledger
from tests.support.chaos_round.plan import TaskPlan, plan_strikes, plan_tasks
from tests.support.chaos_round.rest import secrets_left, what_is_left, whole_world
from tests.support.chaos_round.strikes import Striker
from tests.support.chaos_round.submitting import Places

_SETTLE_SECONDS = 300
_HOOKS_SECONDS = 120
_LAST_EVENTS = 6


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
    recoveries_away: list[float] = field(default_factory=list[float])
    lost: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    zombies: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])

    @property
    def is_clean(self) -> bool:
        """Whether everything is as promised."""
        return not (self.lost or self.doubled or self.zombies or self.wrong) and self.max_prs <= 1

    @property
    def accepted(self) -> int:
        """How many of the planned tasks became one of their own."""
        return sum(row["tasks"] for row in self.outcomes.values())

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def of_json(cls, text: str) -> BatchResult:
        return cls(**json.loads(text))


async def run_batch(plan: BatchPlan, kept: Path) -> BatchResult:
    """Run it; the logs and the ledger of one that is not clean are moved to *kept*."""
    watch = Stopwatch()
    async with open_ground(plan) as ground:
        book = Book()
        strikes = Striker(ground.fleet, ground.redis, ground.hooks, ground.ledger.write)
        watch.lap("starting")
        unfinished = await _torture(ground, book, strikes, watch)
        wrong = await _come_to_rest(ground, book, watch)
        world = await whole_world(ground.site)
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


async def _torture(ground: Ground, book: Book, striker: Striker, watch: Stopwatch) -> list[str]:
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
    lives: list[asyncio.Task[None]] = []
    try:
        is_stuck = not await _begin_all(clients, tasks, lives, at_once=plan.at_once)
        calm.set()
        await striking
        watch.lap("under faults")
        _, late = await asyncio.wait(lives, timeout=0 if is_stuck else _SETTLE_SECONDS)
        unfinished = await _describe(ground, clients.watch.unfinished) if late else []
    finally:
        for task in (watching, striking, *lives):
            task.cancel()
        ended = await asyncio.gather(*lives, return_exceptions=True)
        watch.lap("until all ended")
        await clients.close()
    broken = [error for error in ended if isinstance(error, Exception)]
    book.wrong += [f"a client broke: {''.join(format_exception(error))}" for error in broken]
    return unfinished


async def _begin_all(
    clients: Clients,
    tasks: Sequence[TaskPlan],
    lives: list[asyncio.Task[None]],
    *,
    at_once: int,
) -> bool:
    """Begin each as soon as there is room; False when none of those begun comes to its end."""
    room = asyncio.Semaphore(at_once)
    for plan in tasks:
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                await room.acquire()
        except TimeoutError:
            return False
        life = asyncio.create_task(clients.live(plan))
        life.add_done_callback(lambda _: room.release())
        lives.append(life)
    return True


async def _describe(ground: Ground, unfinished: Sequence[tuple[str, str]]) -> list[str]:
    world = await whole_world(ground.site)
    said: list[str] = []
    for tenant, task in unfinished:
        events = world.events(f"{tenant}/{task}")[-_LAST_EVENTS:]
        said.append(f"{tenant}/{task} did not end: {json.dumps(events)}")
    return said or ["a client waits for a viewer or an answer"]


async def _come_to_rest(ground: Ground, book: Book, watch: Stopwatch) -> list[str]:
    """Wait for the last webhooks, let all workers leave, and look what is left; what is wrong."""
    hooks = ground.hooks
    wanted = expected_hooks(await whole_world(ground.site), book)
    await hooks.until(wanted, seconds=_HOOKS_SECONDS)
    watch.lap("until all were told")
    missing = wanted - hooks.bodies.keys()
    wrong = [f"webhook {name} never arrived" for name in sorted(missing)]
    wrong += [f"webhook {name} is of no event" for name in hooks.bodies.keys() - wanted]
    changed = [name for name, bodies in hooks.bodies.items() if len(bodies) > 1]
    wrong += [f"webhook {name} came with different bodies" for name in changed]
    await ground.fleet.leave("worker")
    watch.lap("until workers left")
    wrong += await what_is_left(ground.site, is_mixed=ground.plan.old_tree is not None)
    wrong += await asyncio.to_thread(secrets_left, ground.ledgers.parent)
    return wrong


def _result(
    ground: Ground, book: Book, striker: Striker, verdict: Verdict, watch: Stopwatch
) -> BatchResult:
    for pull in ground.forge.pulls:
        verdict.pulls[pull.head] += 1
    counted: dict[str, Any] = {kind: dict(row) for kind, row in verdict.outcomes.items()}
    return BatchResult(
        tasks=ground.plan.count,
        seconds=sum(watch.laps.values()),
        phases=watch.laps,
        ticks=striker.ticks,
        faults={str(fault): n for fault, n in striker.done.items()},
        calls=dict(book.calls),
        outcomes=counted,
        recoveries=verdict.recoveries,
        recoveries_alone=verdict.recoveries_alone,
        recoveries_away=verdict.recoveries_away,
        max_prs=max(verdict.pulls.values(), default=0),
        pulls=verdict.pulls.total(),
        hooks=len(ground.hooks.bodies),
        hook_attempts=ground.hooks.attempts,
        lost=verdict.lost,
        doubled=verdict.doubled,
        zombies=verdict.zombies,
        wrong=verdict.wrong,
    )


def _keep(ground: Ground, kept: Path) -> None:
    """The ledger and the logs, for whoever looks what happened."""
    kept.mkdir(parents=True, exist_ok=True)
    for file in [*ground.ledgers.parent.glob("*.log"), *ground.ledgers.iterdir()]:
        (kept / file.name).write_bytes(file.read_bytes())
