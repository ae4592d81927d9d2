"""
One history of the queue: clients, workers and time as a person would play them, with the model.

What is done here is checked here, against the model (`queue_model`) and against every invariant
(`world`). Which step comes next is chosen elsewhere.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Awaitable
from contextlib import ExitStack, suppress
from math import inf
from typing import ClassVar, TypeVar

from hypothesis.stateful import RuleBasedStateMachine
from redis.asyncio import Redis

from internal.clock import from_millis
from internal.control.gate import GateKind, kind_of
from internal.errors import NotFound
from internal.rdb.keys import Keys
from internal.task.escalations import Escalations
from internal.task.gatekeeper import Gatekeeper
from internal.task.model import Claim, Priority, Reason
from internal.task.pullrequest import NotPublished
from internal.task.queue import Lane
from internal.task.state import State
from internal.task.store import Reply as Answer
from tests.support.queue_bill import Bill, Ledger
from tests.support.queue_lab import LEASE_SECONDS, Lab, published
from tests.support.queue_model import Known, Worker
from tests.support.queue_shutters import Shutter
from tests.support.world import World, check, check_at_rest

T = TypeVar("T")
HOMES = ("h1", "h2")
BREAKER, QUOTA = "breaker:agent:demo", "quota:a:f"
_GRACE_MILLIS = 1_000
_LEASE_MILLIS = int(LEASE_SECONDS * 1000)
_HOME_GRACE_SECONDS = 60


class QueueHistory(RuleBasedStateMachine):
    """A deployment, its tasks as the model knows them, and everybody who acts on it."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._stack = ExitStack()
        self.redis = Redis.from_url(self.url, decode_responses=True, protocol=3)
        self.lab = Lab(self.redis, Keys("lab:"))
        self._stack.enter_context(self.lab.installed())
        self.do(self.redis.flushall())
        self.do(self.lab.start())
        self.numbers = itertools.count()
        self.tasks: dict[str, Known] = {}
        self.ledger = Ledger()
        self.shutters = {BREAKER: Shutter(), QUOTA: Shutter()}
        self.workers = [self._worker(home, alone) for home in HOMES for alone in (False, True)]
        self.zombies: list[Claim] = []
        self.world = World({})

    def do(self, work: Awaitable[T]) -> T:
        return self._loop.run_until_complete(work)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # else the history has failed already
                self._drain()
        finally:
            self.do(self.redis.aclose())
            self._stack.close()
            self._loop.close()

    def _look(self) -> World:
        self.world = self.do(self.lab.world())
        return self.world

    def _worker(self, home: str, alone: bool) -> Worker:
        return Worker(f"w{next(self.numbers)}", home, alone)

    def _by_claim(self, claim: Claim) -> Known:
        return self.tasks[f"{claim.task.tenant}/{claim.task.id}"]

    def _holds(self, claim: Claim) -> bool:
        """Whether it is its task's still, whatever became of the worker."""
        task = self.tasks.get(f"{claim.task.tenant}/{claim.task.id}")
        return task is not None and task.claim is claim

    def _today(self) -> str:
        return from_millis(self.do(self.lab.now())).date().isoformat()

    def _held(self) -> list[Claim]:
        return [claim for worker in self.workers for claim in worker.claims]

    def _give_up(self, claim: Claim) -> None:
        for worker in self.workers:
            if claim in worker.claims:
                worker.claims.remove(claim)
        self.zombies.append(claim)

    def _create(
        self,
        tenant: str,
        repo: str,
        priority: Priority,
        key: str = "",
        *,
        callback: bool = True,
        dedup: tuple[str, str] = ("", ""),
    ) -> None:
        task = f"t{next(self.numbers)}"
        fields = dict(zip(("dedup", "dedup_policy"), dedup, strict=True)) if dedup[0] else {}
        answer = self.do(
            self.lab.submit(
                tenant, task, repo, priority, callback=callback, key=key, digest=priority, **fields
            )
        )
        known = self.world.values.get(f"tenant:{tenant}:idempotency:{key}")
        if self.lab.twice and key and not known and answer.word == "dup":
            answer = Answer("joined", answer.rest)  # the first reply; its repeat knows the key
        if key and known:
            gone = f"{tenant}/{known['id']}" not in self.world.tasks
            word = "deleted" if gone else "dup"
            assert answer.word == (word if known["hash"] == priority else "conflict")
            assert answer.rest == (known["id"],)
        elif not self._held_off(answer, tenant, *dedup):
            assert answer.word == "ok"
            lines = self.lab.gates(tenant, repo).splitlines()
            gates = tuple(line.split(" ", 2)[2] for line in lines)
            if dedup[0]:
                gates += (f"dedup:{tenant}:{dedup[0]}",)
            ref = f"{tenant}/{task}"
            self.tasks[ref] = Known(ref, gates, Bill(self.ledger), dedup[0])

    def _held_off(self, answer: Answer, tenant: str, key: str, policy: str) -> bool:
        """Whether a task with this key stands in the way; what it supersedes is cancelled."""
        holders = [
            task
            for task in self.tasks.values()
            if key and task.dedup == key and not task.is_finished and f"{tenant}/" in task.ref
        ]
        holders.sort(key=lambda task: (self.world.document(task.ref)["created_at"], task.ref))
        shared = [task for task in holders if not task.cancel]
        if policy == "latest_wins":
            for task in shared:
                if not task.pushing and task.claim:
                    task.cancel = True
                elif not task.pushing:
                    task.cancelled(self._look())
            return False
        word, found = ("duplicate", holders) if policy == "reject" else ("joined", shared)
        if found:
            assert (answer.word, answer.rest) == (word, (found[-1].ref.partition("/")[2],))
        return bool(found)

    def _beat(self, worker: Worker) -> None:
        replies = self.do(self.lab.beat(worker.name, worker.home, worker.claims))
        tasks = [self._by_claim(claim) for claim in worker.claims]
        halted = [self._is_halted(claim) for claim in worker.claims]
        assert replies[1:] == [
            2
            if task.cancel
            else 3
            if task.pause
            else 5
            if is_halted
            else 4
            if task.said.rings
            else 1
            for task, is_halted in zip(tasks, halted, strict=True)
        ]

    def _is_halted(self, claim: Claim) -> bool:
        key = self.lab.keys.task(claim.task.tenant, claim.task.id)
        return bool(self.do(self.redis.hget(key, "halt")) == claim.token)

    def open_gate(self, gate: str) -> None:
        """By an operator; it may be open by itself."""
        with suppress(NotFound):
            self.do(Gatekeeper(self.redis, self.lab.keys).release(gate, None))
        if gate in self.shutters:
            self.shutters[gate].open()

    def _live_on(self, seconds: int) -> None:
        """Time passes for those who are there."""
        for _ in range(0, seconds, 4):
            self.do(self.lab.sleep(4))
            self.do(self.lab.beat("bystander", "elsewhere", []))
            for worker in self.workers:
                self._beat(worker)
        self.reap()

    def _claim(self, worker: Worker, lane: Lane) -> Known | None:
        if worker.alone and worker.claims:
            return None
        before = self._look()
        claim = self.do(self.lab.claim(worker.name, worker.home, lane))
        if claim is None:
            self._check_nothing_was_left(self._look(), worker, lane)
            return None
        task = self._by_claim(claim)
        assert task.claim is None
        assert task.lane == lane
        where = before.document(task.ref)["at"].split(" ")
        assert where[2:] in ([""], [f"@{worker.home}"]), "not in a list of this worker"
        now = self.do(self.lab.now())
        assert not self._closed(before, task, now), "a gate was passed that is closed"
        task.claimed(claim, worker.name)
        if task.kind != "publish":
            self.shutters[BREAKER].passed(claim, now)
        worker.claims.append(claim)
        return task

    def _closed(self, world: World, task: Known, now: int) -> bool:
        if task.kind == "publish":
            return False
        return any(self._room(world, gate, now) < 1 for gate in task.gates)

    def _check_nothing_was_left(self, world: World, worker: Worker, lane: Lane) -> None:
        """What a worker could take waits at a gate; REAP notices when that opens by itself."""
        for task in self.tasks.values():
            tenant = task.ref.partition("/")[0]
            for suffix in ("", f"@{worker.home}"):
                if world.document(task.ref).get("at") == f"list {lane} {suffix}":
                    parked = world.get(f"gate:tenant:{tenant}:parked")
                    assert f"flow {lane}{suffix} {tenant}" in parked, f"{task.ref} was left"

    def _finish_publish(self, task: Known, claim: Claim, failed: Reason | None) -> None:
        reason = "canceled" if task.cancel else "no_changes"
        outcome = NotPublished(reason=reason, message='no "changes"') if failed else published()
        state = self.do(self.lab.queue.finish_pr(claim, outcome, self.lab.operation()))
        self._give_up(claim)
        if failed:
            task.put_back(self._look(), pr_error=True, canceled=reason == "canceled")
        else:
            task.ended("pr_created")
        assert state == task.status

    async def _expire(self, ref: str) -> None:
        tenant, _, task = ref.partition("/")
        key = self.lab.keys.task(tenant, task)
        await self.redis.unlink(key, f"{key}:events", f"{key}:iterations", f"{key}:work")
        await self.redis.zadd(self.lab.keys.expiring(), {ref: 0})

    def reap(self) -> None:
        """REAP charges the tasks of dead workers and nobody else, and pauses after a silence."""
        before, now = self._look(), self.do(self.lab.now())
        contact = before.get("contact")
        silent = now - int(contact["last"]) > 5_000
        quiet = silent or int(contact["quiet_until"]) > now
        charged, freed = (set[str](), set[str]()) if quiet else self._ended(before, now)

        lost, _, _ = self.do(self.lab.reap(home_grace_seconds=_HOME_GRACE_SECONDS))

        assert lost == len(charged)
        world = self._look()
        for ref in charged | freed:
            task = self.tasks[ref]
            assert task.claim is not None
            self._give_up(task.claim)
            if ref in charged:
                task.lost_worker(world)
            elif task.cancel:
                task.cancelled_while_leased(world)
            else:
                task.given_back()
        for home in HOMES:
            if not quiet and not _lives(before, home, now):
                self._give_up_publishing(before, world, home, now)
        self._check_homes(world, now, quiet=quiet)
        self._check_gates(before, world, now)

    def _ended(self, world: World, now: int) -> tuple[set[str], set[str]]:
        """Tasks of dead workers, and tasks whose lease ended though their worker lives."""
        charged, freed = set[str](), set[str]()
        for ref, end in world.get("leases").items():
            worker = self.tasks[ref].worker
            if end > now - _GRACE_MILLIS:
                continue
            if world.get("workers").get(worker, 0) > now - _LEASE_MILLIS - _GRACE_MILLIS:
                freed.add(ref)
            else:
                charged |= set(world.get(f"held:{worker}"))
        return charged, freed - charged

    def _give_up_publishing(self, before: World, world: World, home: str, now: int) -> None:
        """Who waited long enough for an absent home starts from the base; publishing never does."""
        for ref, until in before.get(f"home:{home}:away").items():
            task = self.tasks[ref]
            if until <= now and task.kind == "publish":
                task.put_back(world, pr_error=True)

    def _check_homes(self, world: World, now: int, *, quiet: bool) -> None:
        for home in HOMES:
            if _lives(world, home, now):
                assert not world.get(f"home:{home}:away"), "left waiting for a home that is back"
            elif not quiet:
                lists = [m[0] for m, _ in world.matching(rf"flows:[a-z]+@{home}")]
                assert not lists, "left in the lists of a home that is away"

    def _check_gates(self, before: World, world: World, now: int) -> None:
        for gate in world.get("gates:parked"):
            parked = set(world.get(f"gate:{gate}:parked"))
            flows = [entry for entry in parked if entry.startswith("flow ")]
            assert not flows or self._room(world, gate, now) < 1, f"{gate} is open"
            if gate in self.shutters and self.shutters[gate].room(now, self._holds) >= 1:
                assert parked != set(before.get(f"gate:{gate}:parked")), f"nobody tries {gate}"

    def agree(self) -> None:
        world = self._look()
        check(world)
        assert set(world.tasks) == set(self.tasks)
        for task in self.tasks.values():
            task.agrees(world)
        self.ledger.agrees(world)
        for gate, shutter in self.shutters.items():
            shutter.agrees(world, gate, self._holds)
        for worker in self.workers:
            if any(self._by_claim(claim).lost >= 2 for claim in worker.claims):
                assert len(worker.claims) == 1, "a last-life task beside another"

    def _drain(self) -> None:
        """In the end everything can be finished, and nothing is left behind."""
        self.lab.twice = False
        for scope in self._look().get("escalations"):
            assert self.do(Escalations(self.redis, self.lab.keys).release(scope))
        self.do(self.redis.delete(self.lab.keys.limits()))
        for gate in {*self.shutters, *self._look().get("gates:shut")}:
            self.open_gate(gate)
        for _ in range(200):
            if all(task.is_finished for task in self.tasks.values()):
                break
            self.do(self.lab.sleep(3))
            self.reap()
            for task in self.tasks.values():
                if task.status == "paused":
                    self._resume(task)
            for worker in self.workers:
                self.do(self.lab.queue.register(worker.name, worker.home, {}))
                for lane in Lane:
                    if worker.alone == (lane is Lane.ALONE):
                        self._claim(worker, lane)
                for claim in list(worker.claims):
                    self._end(self._by_claim(claim), claim)
            self.agree()
        left = [task for task in self.tasks.values() if not task.is_finished]
        assert not left, f"never ended: {left}"
        self.reap()
        check_at_rest(self._look())

    def _resume(self, task: Known) -> None:
        answer = self.do(self.lab.store.resume(task.ref))
        task.status = task.queued_status
        assert (answer.word, answer.rest) == ("ok", (task.status,))

    def _end(self, task: Known, claim: Claim) -> None:
        if task.kind == "publish":
            return self._finish_publish(task, claim, Reason.AGENT_FAILED)
        failed = Reason.CANCELED if task.cancel else Reason.AGENT_FAILED
        state = self.do(self.lab.finish(claim, failed=failed))
        self._give_up(claim)
        task.ended(State.FAILED, canceled=failed is Reason.CANCELED)
        assert state == task.status
        return None

    def _room(self, world: World, gate: str, now: int) -> float:
        """How many may pass a gate, as a person would count."""
        kind = kind_of(gate)
        if kind is GateKind.UNTIL:
            if gate in self.shutters:
                return self.shutters[gate].room(now, self._holds)
            return 0 if world.get(f"gate:{gate}:until") else inf
        if kind is GateKind.BUDGET:
            limits = world.get("limits")
            spent = self.ledger.spent(gate, from_millis(now).date().isoformat())
            over = any(0 < float(limits.get(f"{gate}:{unit}", 0)) <= spent[unit] for unit in spent)
            return 0 if over else inf
        return _places(world, gate, kind, now)


def _places(world: World, gate: str, kind: GateKind, now: int) -> float:
    limits = world.get("limits")
    limit = int(limits.get(gate, limits.get(f"{gate.partition(':')[0]}:*", 0)))
    throttle = limits.get(f"throttle:{gate}")
    if throttle is not None:
        limit = min(limit or int(throttle), int(throttle))
    taken = len(world.get(f"gate:{gate}:held"))
    if kind is GateKind.RATE:
        starts = world.get(f"gate:{gate}:starts").values()
        taken = sum(now - 60_000 < start <= now for start in starts)
    return inf if limit == 0 else limit - taken


def _lives(world: World, home: str, now: int) -> bool:
    return any(seen >= now - 15_000 for seen in world.get(f"home:{home}").values())
