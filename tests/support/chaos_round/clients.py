"""
The clients of a round: each lives one planned task, from its submission to its last run.

They wait for facts. Whatever Redis or a server does, an error is answered in bounded time and told
from an end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random

import httpx2

from internal.errors import CodeforgeError, Conflict
from internal.rdb.cancellation import end_if_cancelled
from internal.task.model import Tenant
from internal.task.pullrequest import PullRequestOptions
from internal.task.state import FINISHED
from tests.support.chaos_round.book import Accepted, Book
from tests.support.chaos_round.plan import TaskPlan
from tests.support.chaos_round.submitting import AWAY, REAL_PROMPT, Places, Submitter
from tests.support.chaos_round.viewer import view
from tests.support.chaos_round.watch import Watch
from tests.support.chaos_site import SECRETS, Site

_REST_SECONDS = 0.3


class Clients:
    """All clients of one batch."""

    def __init__(self, site: Site, book: Book, places: Places, *, seed: str) -> None:
        self._service = site.core.service
        self._publishing = site.core.publishing
        self._book = book
        self._places = places
        self._seed = seed
        self.watch = Watch(self._service)
        self._http = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {SECRETS.auth_token}"},
            timeout=20,
            trust_env=False,
            limits=httpx2.Limits(max_connections=200),
        )
        self._submitter = Submitter(site, book, self._http, places)

    async def close(self) -> None:
        await self._http.aclose()

    async def live(self, plan: TaskPlan) -> None:
        """One task's whole life as its client sees it."""
        random = Random(f"{self._seed}/{plan.number}")  # noqa: S311 - no secret
        task = await self._submitter.submit(plan, random)
        if task is None:
            return
        async with asyncio.TaskGroup() as group:
            for _ in range(plan.viewers):
                seen: list[tuple[int, str]] = []
                task.viewed.append(seen)
                group.create_task(
                    view(
                        self._http,
                        self._places.servers,
                        task.id,
                        seen,
                        random=random,
                        book=self._book,
                    )
                )
            await self._interfere(task, plan)
            await self._finished(task)
            for wanted in plan.then:
                await self._act(task, wanted)
                await self._finished(task)

    async def _finished(self, task: Accepted) -> None:
        await self.watch.finished(task.plan.tenant, task.id)

    async def _interfere(self, task: Accepted, plan: TaskPlan) -> None:
        """Cancel its first run, or let it pause for a while."""
        if plan.cancel_after is not None:
            await asyncio.sleep(plan.cancel_after)
            await self._try("cancel", lambda: self._cancel(task))
        elif plan.pause_after is not None:
            await asyncio.sleep(plan.pause_after)
            if await self._try("pause", lambda: self._pause(task)) is not False:
                await self._resume(task)

    async def _resume(self, task: Accepted) -> None:
        """Resume it, as soon as it is paused, unless it finished before it could pause."""
        tenant = Tenant(task.plan.tenant)
        while True:
            await asyncio.sleep(_REST_SECONDS)
            end_if_cancelled()
            if await self._try("resume", lambda: self._service.resume(tenant, task.id)):
                return
            try:
                states = await self._service.states(tenant, [task.id])
            except AWAY:
                continue
            if states[task.id] in FINISHED:
                return

    async def _act(self, task: Accepted, wanted: str) -> None:
        match wanted:
            case "instruct" | "instruct, cancel":
                await self._run(task, wanted, lambda: self._instruct(task))
            case "retry":
                await self._run(task, wanted, lambda: self._retry(task))
            case "publish twice":
                ways = (self._try("publish", lambda: self._publish(task)) for _ in range(2))
                await asyncio.gather(*ways)
            case _:
                await self._try("publish", lambda: self._publish(task))
        if wanted == "instruct, cancel":
            await self._try("cancel", lambda: self._cancel(task))

    async def _run(self, task: Accepted, name: str, ask: Callable[[], Awaitable[object]]) -> None:
        answer = await self._try(name, ask)
        if answer is None:
            task.unknown += 1
        elif answer:
            task.runs += 1

    async def _try(self, name: str, ask: Callable[[], Awaitable[object]]) -> bool | None:
        """Ask once: whether it was accepted, or None when nobody knows."""
        self._book.calls[name] += 1
        try:
            await ask()
        except AWAY:
            return None
        except Conflict:
            return False
        except CodeforgeError as error:
            if error.error_code not in {"no_changes", "unsupported_host"}:
                self._book.wrong.append(f"{name} got {error.error_code}: {error.message}")
            return False
        return True

    async def _instruct(self, task: Accepted) -> None:
        prompt = REAL_PROMPT if task.plan.is_real else json.dumps(task.plan.script)
        await self._service.instruct(Tenant(task.plan.tenant), task.id, prompt)

    async def _retry(self, task: Accepted) -> None:
        await self._service.retry(Tenant(task.plan.tenant), task.id)

    async def _cancel(self, task: Accepted) -> None:
        await self._service.cancel(Tenant(task.plan.tenant), task.id)

    async def _pause(self, task: Accepted) -> None:
        await self._service.pause(Tenant(task.plan.tenant), task.id)

    async def _publish(self, task: Accepted) -> None:
        await self._publishing.publish(Tenant(task.plan.tenant), task.id, PullRequestOptions())
