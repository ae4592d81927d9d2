"""
The task scripts with a clock that a test moves, and short words for what clients and workers do.

The clock is a prefix of the script's source that answers TIME from a key; the scripts themselves
are those of production. With `twice` each one is sent two times, as the client library does when a
reply is lost, and the second call must change nothing.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from internal.agent.model import NO_USAGE, Usage
from internal.control.gate import encode_gates, gates_for
from internal.git.model import Changes
from internal.rdb.keys import Keys
from internal.rdb.scripts import Reply, Script
from internal.task import scripts
from internal.task.codec import EMPTY_USAGE, encode_config
from internal.task.event import NewEvent
from internal.task.model import Claim, Failure, Outcome, Priority, Reason, TaskConfig, Work
from internal.task.pullrequest import Published
from internal.task.queue import Lane, TaskQueue
from internal.task.state import State
from internal.task.store import Reply as Answer
from internal.task.store import TaskStore
from tests.support.shut_gate import shut_gate
from tests.support.virtual_time import CLOCK_KEY, CLOCK_SOURCE
from tests.support.world import World, check

START_MILLIS = 1_795_100_000_000
"""Redis would write this number as 1.7951e+12 if a script let it."""

LEASE_SECONDS = 9.0
STATE_TTL_SECONDS = 604_800

_HOST = "https://example.org/"
_NAMES = [name for name, value in vars(scripts).items() if isinstance(value, Script)]


class LabScript(Script):
    """A script on the test's clock; sent twice while `twice` is set."""

    def __init__(self, script: Script, lab: Lab, *, repeatable: bool) -> None:
        super().__init__(script.source, library=CLOCK_SOURCE)
        self._lab = lab
        self._repeatable = repeatable

    async def __call__(
        self, redis: Redis, keys: Sequence[str], args: Sequence[str | bytes | int | float]
    ) -> Reply:
        reply = await super().__call__(redis, keys, args)
        self._lab.last = (self, list(args))
        if not (self._lab.twice and self._repeatable):
            return reply
        before = await self._lab.world()
        again = await super().__call__(redis, keys, args)
        assert (await self._lab.world()) == before, f"a repeat of {args[:3]} changed something"
        if reply[0] not in {"ok", "task", "joined"}:
            assert again == reply
        return again


class Lab:
    """One deployment of scripts. Times are seconds; a *ref* is `<tenant>/<id>`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self.redis = redis
        self.keys = keys
        self.store = TaskStore(redis, keys)
        self.queue = TaskQueue(redis, keys, lease_seconds=LEASE_SECONDS)
        self.twice = False
        self.last: tuple[LabScript, list[str | bytes | int | float]] | None = None
        self._ids = itertools.count(1)
        self._tasks = itertools.count(1)

    @contextmanager
    def installed(self) -> Generator[None]:
        """The scripts of `internal.task.scripts` are on this lab's clock meanwhile."""
        real = {name: getattr(scripts, name) for name in _NAMES}
        for name, script in real.items():
            repeatable = name not in {"REAP", "REGISTER", "TRIM", "LOAD", "SURVEY"}
            setattr(scripts, name, LabScript(script, self, repeatable=repeatable))
        try:
            yield
        finally:
            for name, script in real.items():
                setattr(scripts, name, script)

    async def start(self) -> None:
        before = START_MILLIS - int(LEASE_SECONDS * 1000)
        await self.redis.set(f"{self.keys.prefix}{CLOCK_KEY}", before)
        for name in _NAMES:
            await self.redis.script_load(getattr(scripts, name).source)
        await self.reap()
        for _ in range(3):  # the pause of a new deployment
            await self.sleep(LEASE_SECONDS / 3)
            await self.reap()

    async def start_anew(self) -> None:
        """An empty database; the next task is `t1` again."""
        await self.redis.flushall()
        self._tasks = itertools.count(1)
        await self.start()

    async def now(self) -> int:
        return int(await self.redis.get(f"{self.keys.prefix}{CLOCK_KEY}") or 0)

    async def sleep(self, seconds: float) -> None:
        """Move the clock of the scripts."""
        await self.redis.incrby(f"{self.keys.prefix}{CLOCK_KEY}", int(seconds * 1000))

    async def world(self) -> World:
        return await World.read(self.redis, self.keys)

    async def document(self, ref: str) -> dict[str, str]:
        return (await self.world()).document(ref)

    async def status(self, ref: str) -> str:
        return (await self.document(ref))["status"]

    # -- what clients do

    async def create(
        self,
        tenant: str = "default",
        *,
        task: str = "",
        repo: str = "r",
        priority: Priority = Priority.NORMAL,
        callback: bool = True,
        key: str = "",
        request_hash: str = "h",
        **fields: str,
    ) -> str:
        """A new task; its ref."""
        task = task or f"t{next(self._tasks)}"
        answer = await self.submit(
            tenant, task, repo, priority, callback=callback, key=key, digest=request_hash, **fields
        )
        assert answer.word == "ok"
        return f"{tenant}/{task}"

    async def submit(
        self,
        tenant: str,
        task: str,
        repo: str,
        priority: Priority,
        *,
        callback: bool,
        key: str,
        digest: str,
        **fields: str,
    ) -> Answer:
        config = TaskConfig(cli="demo", timeout_seconds=300, silence_seconds=600)
        document: dict[str, str | int] = {
            "status": "pending",
            "kind": "create",
            "iteration": 1,
            "repo_url": f"{_HOST}{repo}",
            "prompt": "do it",
            "priority": priority.value,
            "labels": '{"a/b":"\\"c\\" ü"}',
            "config": encode_config(config),
            "gates": self.gates(tenant, repo),
            "usage": EMPTY_USAGE,
            "no_usage": EMPTY_USAGE,
            "usage_total": EMPTY_USAGE,
            "retain": STATE_TTL_SECONDS,
            "task_url": f"http://x/{task}",
            **({"callback_url": "https://hook.example.org/x"} if callback else {}),
            **fields,
        }
        return await self.store.create(
            tenant, task, document, idempotency_key=key, request_hash=digest
        )

    def gates(self, tenant: str, repo: str = "r") -> str:
        return encode_gates(gates_for(tenant=tenant, repo_key=repo, agent="demo"))

    async def instruct(self, ref: str, operation: str | None = None) -> Answer:
        operation = operation or f"op{next(self._ids)}"
        return await self.store.instruct(ref, operation, "and now?", await self._gates(ref))

    async def retry(
        self, ref: str, operation: str | None = None, *, only_letter: bool = False
    ) -> Answer:
        operation = operation or f"op{next(self._ids)}"
        gates = await self._gates(ref)
        return await self.store.retry(ref, operation, gates, only_letter=only_letter)

    async def direct(self, ref: str, text: str = "mind the tests", directive: str = "") -> Answer:
        directive = directive or f"d{next(self._ids)}"
        return await self.store.direct(ref, directive, text, await self._gates(ref))

    async def publish(self, ref: str, operation: str | None = None) -> Answer:
        return await self.store.publish(ref, operation or f"op{next(self._ids)}", '{"draft":true}')

    async def _gates(self, ref: str) -> str:
        tenant, _, task = ref.partition("/")
        url = str(await self.redis.hget(self.keys.task(tenant, task), "repo_url"))
        return self.gates(tenant, url.removeprefix(_HOST))

    async def subscribe(self, endpoint: str, events: str, *, tenant: str = "default") -> None:
        """Register a webhook endpoint for *events* (types with a blank between)."""
        await self.redis.hset(self.keys.webhook_endpoints(tenant), endpoint, events)

    async def shut(self, gate: str, *, seconds: float | None = None) -> None:
        """As JUDGE and SIGNAL do: shut an `until` gate for so long, or until it is released."""
        until = None if seconds is None else await self.now() + int(seconds * 1000)
        await shut_gate(self.redis, self.keys, gate, until, is_lab=True)

    # -- what workers do

    async def claim(
        self, worker: str = "w1", home: str = "h1", lane: Lane = Lane.AGENT
    ) -> Claim | None:
        return await self.queue.claim(lane, worker=worker, home=home)

    async def take(self, worker: str = "w1", home: str = "h1", lane: Lane = Lane.AGENT) -> Claim:
        """A claim that must succeed."""
        claim = await self.claim(worker, home, lane)
        assert claim is not None, "nothing to claim"
        return claim

    async def take_new(self, tenant: str, repo: str = "r") -> Claim:
        """A claim on a task made for it."""
        await self.create(tenant, repo=repo)
        return await self.take()

    async def advance(self, claim: Claim) -> None:
        fields = {"base_commit": "b" * 40, "isolation": "none"}
        await self.queue.advance(claim, State.RUNNING, fields, self.operation())

    async def finish(
        self,
        claim: Claim,
        *,
        failed: Reason | None = None,
        work: bool = True,
        truncated: bool = False,
        usage: Usage = NO_USAGE,
        operation: str = "",
        tail: Sequence[NewEvent] = (),
        exhausted: bool = False,
    ) -> State:
        """Report the end of an agent run, with or without recorded work."""
        outcome = outcome_of(claim, failed=failed, work=work, truncated=truncated)
        outcome = replace(outcome, usage=usage, exhausted=exhausted)
        return await self.queue.finish(claim, outcome, operation or self.operation(), tail)

    async def suspend(
        self,
        claim: Claim,
        *,
        work: bool = True,
        truncated: bool = False,
        usage: Usage = NO_USAGE,
        ran_seconds: float = 5,
        operation: str = "",
    ) -> None:
        """Report that the run is paused, with or without recorded work."""
        outcome = replace(outcome_of(claim, work=work, truncated=truncated), usage=usage)
        await self.queue.suspend(
            claim, outcome, operation or self.operation(), ran_seconds=ran_seconds
        )

    async def run(self, claim: Claim, **how: Any) -> State:
        """From claimed to finished."""
        await self.advance(claim)
        return await self.finish(claim, **how)

    async def run_next(self, worker: str = "w1", home: str = "h1", **how: Any) -> State:
        return await self.run(await self.take(worker, home), **how)

    async def begin_push(self, claim: Claim) -> Answer:
        args = [f"{claim.task.tenant}/{claim.task.id}", claim.token, self.operation(), "pushing"]
        reply = await scripts.TRANSITION(self.redis, [self.keys.prefix], args)
        return Answer("ok" if reply[0] == "dup" else reply[0], tuple(reply[1:]))

    async def beat(self, worker: str, home: str, claims: Sequence[Claim]) -> list[int]:
        """One heartbeat; its raw reply behind the time."""
        args: list[str | int] = [worker, home, int(LEASE_SECONDS * 1000), "{}"]
        for claim in claims:
            args += [f"{claim.task.tenant}/{claim.task.id}", claim.token]
        reply: list[int] = await scripts.HEARTBEAT(self.redis, [self.keys.prefix], args)
        return reply[1:]

    async def reap(self, **how: Any) -> tuple[int, int, bool]:
        options: dict[str, Any] = {"home_grace_seconds": 3600, **how}
        return await self.queue.reap(**options)

    async def lose(self, worker: str = "w1", home: str = "h1") -> None:
        """*worker* dies: its leases run out while others keep in contact, and REAP notices."""
        for _ in range(4):
            await self.sleep(3)
            await self.beat("bystander", f"{home}-bystander", [])
        await self.reap()

    def operation(self) -> str:
        return f"op{next(self._ids)}"


def published(*, updated: bool = False) -> Published:
    """What a publisher could report."""
    return Published(url="https://forge/7", number=7, branch="codeforge/t1", updated=updated)


def outcome_of(
    claim: Claim, *, failed: Reason | None = None, work: bool = True, truncated: bool = False
) -> Outcome:
    """What a worker could report for *claim*."""
    return Outcome(
        failure=Failure(reason=failed, message=f"it {failed}") if failed else None,
        result=None if failed else f'did "it" / {claim.task.iteration}',
        changes=Changes(files_modified=1, insertions=claim.task.iteration) if work else None,
        work=Work(commit="c" * 40, claim=claim.claim, home=claim.home, truncated=truncated)
        if work
        else None,
        stored_diff=f"diff {claim.claim}".encode() if work else None,
    )


@pytest.fixture
async def lab(redis_client: Redis) -> AsyncIterator[Lab]:
    """A lab in an empty database; the invariants hold when the test ends."""
    lab = Lab(redis_client, Keys("lab:"))
    with lab.installed():
        await lab.start()
        yield lab
    check(await lab.world())
    await redis_client.delete(f"lab:{CLOCK_KEY}")
