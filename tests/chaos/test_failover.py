"""Sentinel fails over under load: what was confirmed is there once, and all go on by themselves."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeAlias

import httpx2
import pytest

from internal.rdb.client import connect
from internal.server.workers import Workers
from internal.task.event import FINAL_EVENTS
from internal.task.state import State
from tests.support.chaos_cli import quick_cli
from tests.support.chaos_process import WorkerProcess
from tests.support.chaos_site import Site, open_site
from tests.support.sentinel_set import Node, SentinelSet, open_sentinel_set
from tests.support.waiting import until

pytestmark = pytest.mark.chaos

Strike: TypeAlias = Callable[[SentinelSet], Awaitable[None]]

_CLIENTS = 2
_PAUSE_SECONDS = 0.3


class Load:
    """Clients that submit, and repeat with the same key what they were not told."""

    def __init__(self, site: Site, url: str) -> None:
        self.accepted: dict[str, str] = {}
        """Tasks by their key."""
        self.refused: Counter[int] = Counter()
        """Answers that were none, by status."""
        self._site = site
        self._url = url
        self._keys = (f"key-{number}" for number in itertools.count())
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Until the end of the block; each client then still gets its last answer."""
        async with self._site.client(self._url) as http, asyncio.TaskGroup() as group:
            for _ in range(_CLIENTS):
                group.create_task(self._submit(http))
            try:
                yield
            finally:
                self._stop.set()

    async def until_more(self, count: int) -> None:
        """Return once *count* tasks more than now are accepted."""
        wanted = len(self.accepted) + count
        await until(f"{count} more are accepted", lambda: len(self.accepted) >= wanted)

    async def _submit(self, http: httpx2.AsyncClient) -> None:
        while not self._stop.is_set():
            key = next(self._keys)
            while key not in self.accepted:
                answer = await self._try(http, key)
                if answer.status_code in (200, 201):
                    self.accepted[key] = answer.json()["id"]
                else:
                    self.refused[answer.status_code] += 1
                    assert int(answer.headers["Retry-After"]) >= 1
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _try(self, http: httpx2.AsyncClient, key: str) -> httpx2.Response:
        request = {"repo_url": self._site.repo.url, "prompt": key, "config": {"cli": "demo"}}
        return await http.post("/api/v1/tasks", json=request, headers={"Idempotency-Key": key})


@pytest.mark.parametrize(
    ("strike", "heal"),
    [
        (SentinelSet.lose_machine, SentinelSet.restart_machine),
        (SentinelSet.cut_off, SentinelSet.join),
    ],
    ids=["lost", "cut_off"],
)
async def test_promise_7_a_failover_under_load_loses_nothing_that_was_confirmed(
    strike: Strike, heal: Strike
) -> None:
    """
    The master's machine dies, or it is cut off from its set and not from its clients; nothing but
    Redis is restarted. Accepted is there, 503 can be repeated, a confirmed end stays, once.
    """
    async with (
        open_sentinel_set() as redis,
        open_site(redis.url, REDIS__REPLICAS="1", WORKERS__CONCURRENCY="2") as site,
    ):
        site.variables["CODEFORGE_CLI__DEMO__PATH"] = quick_cli(site.directory)
        workers = [await site.start(home) for home in ("a", "b")]
        load = Load(site, (await site.serve()).url)
        async with load.running():
            await load.until_more(8)
            await strike(redis)
            await until("the replica is promoted", lambda: _is_master(redis.second))
            before = await _beats(redis.second, site)
            await until("the workers beat there", lambda: _all_beat(redis.second, site, before))
            await heal(redis)
            await until("the old master follows", redis.first.follows)
            await load.until_more(8)
        site.data_url = redis.second.url
        site.tasks += load.accepted.values()
        await site.settle()

        assert set(load.refused) == {503}
        await _check(site, workers, load)


async def _check(site: Site, workers: list[WorkerProcess], load: Load) -> None:
    """One task for each key; each has completed once, by the one run that was told so."""
    ends = Counter(line["task_id"] for worker in workers for line in _ends(worker))
    accepted = set(load.accepted.values())

    assert len(accepted) == len(load.accepted)
    assert {ref.partition("/")[2] for ref in (await site.world()).tasks} == accepted
    assert ends == Counter(accepted)
    for task in accepted:
        found = await site.task(task)
        names = await site.names(task)
        assert (found.status, found.result) == (State.COMPLETED, "quick"), found.failure
        assert sum(tuple(name.split("/")) in FINAL_EVENTS for name in names) == 1
        assert names[-1] == "result/task_completed"
    assert [worker.exit_status for worker in workers] == [None, None]


def _ends(worker: WorkerProcess) -> list[dict[str, Any]]:
    """What it says of runs whose end was confirmed."""
    lines = [json.loads(line) for line in worker.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "run.ended"]


async def _is_master(node: Node) -> bool:
    return await node.role() == "master"


async def _all_beat(node: Node, site: Site, before: dict[str, datetime]) -> bool:
    now = await _beats(node, site)
    return all(now[worker] > seen for worker, seen in before.items())


async def _beats(node: Node, site: Site) -> dict[str, datetime]:
    """When each worker was last heard of, as that node knows."""
    async with connect(node.url, role="command") as redis:
        known = await Workers(redis, site.core.keys).list()
    assert len(known) == 2
    return {worker.id: worker.last_seen for worker in known}
