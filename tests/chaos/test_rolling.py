"""Servers and workers that go one after the other, under load: no client and no task minds."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence

import httpx2
import pytest

from internal.task.state import State
from tests.support.chaos_process import ServerProcess, WorkerProcess
from tests.support.chaos_site import SECRETS, Site
from tests.support.sse import open_stream
from tests.support.waiting import until

pytestmark = pytest.mark.chaos

_PROMPT = "say one\nsleep 0.3\nsay two\nsleep 0.3\nsay three"
_AT_ONCE = 3
_PAUSE_SECONDS = 0.02
_TWO_SLOTS = {"WORKERS__CONCURRENCY": "2", "WORKERS__ISOLATION": "none"}


class Load:
    """Clients that submit tasks, each once, and follow each to its end, whoever serves them."""

    def __init__(self, site: Site, urls: list[str]) -> None:
        self.site = site
        self.urls = urls
        self.connections = 0
        self.watching: Counter[str] = Counter()
        """Streams that are open at each server."""
        self._room = asyncio.Semaphore(_AT_ONCE)
        self.seen: dict[str, list[int]] = {}
        """Task -> the numbers that its viewer got."""

    async def run(self, stop: asyncio.Event) -> None:
        """
        A few tasks at a time until *stop*; returns when every viewer has seen the end.
        """
        async with asyncio.TaskGroup() as viewers:
            while not stop.is_set():
                await self._room.acquire()
                task = await self._submit(f"once-{len(self.seen)}")
                self.site.tasks.append(task)
                self.seen[task] = []
                viewers.create_task(self._view(task)).add_done_callback(self._leave)

    async def more(self) -> None:
        """Return when two more tasks were taken."""
        enough = len(self.seen) + 2
        await until("more tasks came", lambda: len(self.seen) >= enough)

    async def watched(self, url: str) -> None:
        """Return when a stream is open at that server."""
        await until(f"somebody watches at {url}", lambda: self.watching[url] > 0)

    def _leave(self, viewer: asyncio.Task[None]) -> None:
        del viewer
        self._room.release()

    async def _submit(self, key: str) -> str:
        body = {"repo_url": self.site.repo.url, "prompt": _PROMPT, "config": {"cli": "demo"}}
        turn = 0
        while True:
            turn += 1
            async with self.site.client(self.urls[turn % len(self.urls)]) as client:
                try:
                    answer = await client.post(
                        "/api/v1/tasks", json=body, headers={"Idempotency-Key": key}
                    )
                except httpx2.TransportError:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
            assert answer.status_code in {200, 201}, answer.text
            return str(answer.json()["id"])

    async def _view(self, task: str) -> None:
        turn = len(self.seen)
        while True:
            turn += 1
            try:
                if await self._follow(task, self.urls[turn % len(self.urls)]):
                    return
            except httpx2.TransportError:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _follow(self, task: str, url: str) -> bool:
        """Whether the stream was over; it goes on behind what was seen."""
        seen = self.seen[task]
        headers = {"Authorization": f"Bearer {SECRETS.auth_token}"}
        if seen:
            headers["Last-Event-ID"] = str(seen[-1])
        async with open_stream(url, task, **headers) as stream:
            self.connections += 1
            self.watching[url] += 1
            try:
                async for message in stream.messages:
                    if message.id is not None:
                        seen.append(message.id)
                    if message.event == "done":
                        return True
            finally:
                self.watching[url] -= 1
            return stream.response.status_code == 204


async def test_promise_22_a_rolling_restart_burns_no_attempt(site: Site) -> None:
    """
    Every process is replaced while clients submit and watch: each ends with status 0, every task
    runs once, every viewer gets its log whole.
    """
    old = [await _machine(site) for _ in range(2)]
    load = Load(site, [server.url for server, _ in old])
    stop = asyncio.Event()
    running = asyncio.create_task(load.run(stop))
    await load.more()

    for number, machine in enumerate(old):
        server, _ = await _machine(site)
        load.urls[number] = server.url
        await asyncio.gather(*map(_end, machine))
    stop.set()
    await running

    for task in load.seen:
        found = await site.finished(task)
        assert (found.status, found.lost, found.attempt) == (State.COMPLETED, 0, 1)
    await _every_log_was_seen(site, load)
    await site.settle()


async def test_promise_5_killed_servers_cost_a_viewer_nothing(site: Site) -> None:
    """Servers die as they stand; each viewer goes on at another one, behind its last number."""
    servers = [await site.serve() for _ in range(2)]
    await site.start(**_TWO_SLOTS)
    load = Load(site, [server.url for server in servers])
    stop = asyncio.Event()
    running = asyncio.create_task(load.run(stop))

    for number in (0, 1, 0):
        await load.watched(servers[number].url)
        servers[number].kill()
        servers[number] = await site.serve()
        load.urls[number] = servers[number].url
    stop.set()
    await running

    assert load.connections > len(load.seen)
    for task in load.seen:
        found = await site.finished(task)
        assert (found.status, found.lost, found.attempt) == (State.COMPLETED, 0, 1)
    await _every_log_was_seen(site, load)
    await site.settle()


async def _machine(site: Site) -> tuple[ServerProcess, WorkerProcess]:
    return await asyncio.gather(site.serve(), site.start(**_TWO_SLOTS))


async def _end(process: WorkerProcess | ServerProcess) -> None:
    process.send(signal.SIGTERM)
    assert await process.ended() == 0, process.log()


async def _every_log_was_seen(site: Site, load: Load) -> None:
    logs = {task: await _numbers(site, task) for task in load.seen}
    assert load.seen == logs
    assert all(_is_whole(numbers) for numbers in logs.values())


async def _numbers(site: Site, task: str) -> list[int]:
    return [int(event["id"]) for event in await site.events(task)]


def _is_whole(numbers: Sequence[int]) -> bool:
    return list(numbers) == list(range(1, len(numbers) + 1))
