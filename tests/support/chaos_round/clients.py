"""
The clients of a round: each lives one planned task, from its submission to its last run.

They come through the service or through HTTP, ask again until they are answered, and wait for
facts. Whatever Redis or a server does, an error is answered in bounded time and told from an end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import httpx2
from redis.exceptions import RedisError

from internal.errors import CodeforgeError, Conflict, Unavailable
from internal.task.model import Priority, TaskConfig, TaskSpec, Tenant
from internal.task.pullrequest import PullRequestOptions
from internal.task.service import TaskService
from internal.task.state import FINISHED, State
from tests.support.chaos_round import seams
from tests.support.chaos_round.book import Accepted, Book
from tests.support.chaos_round.plan import TaskPlan
from tests.support.chaos_round.viewer import view
from tests.support.chaos_site import Site
from tests.support.hosts.double import TOKEN

AWAY = (RedisError, OSError, Unavailable, httpx2.TransportError)
"""No answer, or one that says to come back."""

_PAUSE_SECONDS = 0.2
_LOOK_SECONDS = 0.15
_AT_ONCE = 400
_REAL_PROMPT = "say hello\nwrite mine.txt: x\nsleep 0.1\nsay done"


class Watch:
    """Tells when tasks are finished: one look at all of them, again and again."""

    def __init__(self, service: TaskService) -> None:
        self._service = service
        self._waiting: dict[tuple[str, str], asyncio.Future[State]] = {}

    async def finished(self, task: Accepted) -> State:
        future: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._waiting[(task.plan.tenant, task.id)] = future
        return await future

    @property
    def unfinished(self) -> list[tuple[str, str]]:
        return list(self._waiting)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self._look()
            except AWAY:
                continue

    async def _look(self) -> None:
        asked = list(self._waiting)
        for tenant in {tenant for tenant, _ in asked}:
            ids = [task for owner, task in asked if owner == tenant]
            for first in range(0, len(ids), _AT_ONCE):
                found = await self._service.states(Tenant(tenant), ids[first : first + _AT_ONCE])
                for task, state in found.items():
                    if state in FINISHED:
                        self._waiting.pop((tenant, task)).set_result(state)


class Clients:
    """All clients of one batch; *servers* are the base URLs of the HTTP servers."""

    def __init__(
        self,
        site: Site,
        book: Book,
        servers: Sequence[str],
        *,
        token: str,
        hook_url: str,
        hosted_url: str,
        seed: str,
    ) -> None:
        self._site = site
        self._service = site.core.service
        self._book = book
        self._servers = servers
        self._hook_url = hook_url
        self._hosted_url = hosted_url
        self._seed = seed
        self.watch = Watch(self._service)
        self._http = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
            trust_env=False,
            limits=httpx2.Limits(max_connections=200),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def live(self, plan: TaskPlan) -> None:
        """One task's whole life as its client sees it."""
        random = Random(f"{self._seed}/{plan.number}")  # noqa: S311 - no secret
        task = await self._submit(plan, random)
        async with asyncio.TaskGroup() as group:
            for _ in range(plan.viewers):
                seen: list[tuple[int, str]] = []
                task.viewed.append(seen)
                group.create_task(
                    view(self._http, self._servers, task.id, seen, random=random, book=self._book)
                )
            if plan.cancel_after is not None:
                await asyncio.sleep(plan.cancel_after)
                await self._try("cancel", lambda: self._cancel(task))
            await self.watch.finished(task)
            for wanted in plan.then:
                await self._act(task, wanted)
                await self.watch.finished(task)

    async def _submit(self, plan: TaskPlan, random: Random) -> Accepted:
        """Submit it, perhaps more than once at the same time, always with the same key."""
        make = self._over_http if plan.over_http else self._directly
        self._book.calls["duplicates"] += plan.duplicates
        ways = [make, *random.choices([make, make, self._directly], k=plan.duplicates)]
        if plan.over_http:
            ways = [make] * len(ways)  # its body is what the key is bound to
        ids = set(await asyncio.gather(*(self._until_made(way, plan) for way in ways)))
        if len(ids) > 1:
            self._book.wrong.append(f"one key made {len(ids)} tasks: {sorted(ids)}")
        task = Accepted(id=min(ids), plan=plan)
        self._book.accepted[task.id] = task
        return task

    async def _until_made(self, make: Callable[[TaskPlan], Awaitable[str]], plan: TaskPlan) -> str:
        while True:
            try:
                return await make(plan)
            except AWAY:
                self._book.calls["submit, no answer"] += 1
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _directly(self, plan: TaskPlan) -> str:
        submitted = await self._service.submit(
            self._spec(plan), idempotency_key=f"key-{plan.number}", request_hash="1"
        )
        return submitted.task.id

    async def _over_http(self, plan: TaskPlan) -> str:
        spec = self._spec(plan)
        body = {
            "repo_url": spec.repo_url,
            "prompt": spec.prompt,
            "priority": spec.priority.value,
            "labels": dict(spec.labels),
            "config": {
                "cli": spec.config.cli,
                "timeout_seconds": spec.config.timeout_seconds,
                "auto_create_pr": spec.config.auto_create_pr,
            },
        }
        optional = {"callback_url": spec.callback_url, "access_token": spec.access_token}
        body |= {name: value for name, value in optional.items() if value}
        server = self._servers[plan.number % len(self._servers)]
        answer = await self._http.post(
            f"{server}/api/v1/tasks",
            json=body,
            headers={"Idempotency-Key": f"key-{plan.number}"},
        )
        if answer.status_code in {200, 201}:
            return str(answer.json()["id"])
        if answer.status_code != 503:
            self._book.wrong.append(f"a submit got {answer.status_code}: {answer.text[:200]}")
        raise Unavailable(f"HTTP {answer.status_code}")

    def _spec(self, plan: TaskPlan) -> TaskSpec:
        labels = {"kind": plan.kind}
        prompt, url, token = _REAL_PROMPT, self._site.repo.url, None
        if plan.is_real and plan.is_hosted:
            url, token = self._hosted_url, TOKEN
        if not plan.is_real:
            labels[seams.LABEL] = seams.IN_PROCESS
            prompt = json.dumps(plan.script)
            url = f"http://127.0.0.1:1/nobody/repository-{plan.repository}.git"
        return TaskSpec(
            tenant=Tenant(plan.tenant),
            repo_url=url,
            prompt=prompt,
            config=TaskConfig(
                cli="demo",
                timeout_seconds=300,
                silence_seconds=300,
                auto_create_pr=plan.auto_pr,
            ),
            priority=Priority(plan.priority),
            labels=labels,
            callback_url=self._hook_url if plan.has_callback else None,
            access_token=token,
        )

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
        except Unavailable:
            return None
        except Conflict:
            return False
        except CodeforgeError as error:
            if error.error_code not in {"no_changes", "unsupported_host"}:
                self._book.wrong.append(f"{name} got {error.error_code}: {error.message}")
            return False
        except AWAY:
            return None
        return True

    async def _instruct(self, task: Accepted) -> None:
        prompt = _REAL_PROMPT if task.plan.is_real else json.dumps(task.plan.script)
        await self._service.instruct(Tenant(task.plan.tenant), task.id, prompt)

    async def _retry(self, task: Accepted) -> None:
        await self._service.retry(Tenant(task.plan.tenant), task.id)

    async def _cancel(self, task: Accepted) -> None:
        await self._service.cancel(Tenant(task.plan.tenant), task.id)

    async def _publish(self, task: Accepted) -> None:
        publishing = self._site.core.publishing
        await publishing.publish(Tenant(task.plan.tenant), task.id, PullRequestOptions())
