"""How clients of a round submit: through the service or over HTTP, until they are answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx2
from redis.exceptions import RedisError

from internal.errors import Conflict, Unavailable
from internal.rdb.cancellation import end_if_cancelled
from internal.task.model import Dedup, DedupPolicy, Priority, TaskConfig, TaskSpec, Tenant
from tests.support.chaos_round import seams
from tests.support.chaos_round.book import Accepted, Book
from tests.support.chaos_round.plan import TaskPlan
from tests.support.chaos_site import Site
from tests.support.hosts.double import TOKEN

AWAY = (RedisError, OSError, Unavailable, httpx2.TransportError)
"""No answer, or one that says to come back."""

MODEL_KEY = "canary-model-key-0123456789abcdef"
REAL_PROMPT = "say hello\nwrite mine.txt: x\nsleep 0.1\nsay done"

_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where clients find what; *servers* are base URLs."""

    servers: Sequence[str]
    hook_url: str
    hosted_url: str


class Submitter:
    """Submits planned tasks and enters them in the *book*."""

    def __init__(self, site: Site, book: Book, http: httpx2.AsyncClient, places: Places) -> None:
        self._site = site
        self._book = book
        self._http = http
        self._places = places

    async def submit(self, plan: TaskPlan, random: Random) -> Accepted | None:
        """
        Submit it, perhaps more than once at the same time, always with the same key.

        None when its deduplication key kept it out.
        """
        make = self._over_http if plan.over_http else self._directly
        self._book.calls["duplicates"] += plan.duplicates
        ways = [self._until_made(make, plan) for _ in range(1 + plan.duplicates)]
        random.shuffle(ways)
        ids = {made for made in await asyncio.gather(*ways) if made is not None}
        if not ids:
            self._book.calls["rejected by its dedup key"] += 1
            return None
        if len(ids) > 1:
            self._book.doubled.append(f"one key made {len(ids)} tasks: {sorted(ids)}")
        task = Accepted(id=min(ids), plan=plan)
        return self._book.accepted.setdefault(task.id, task)

    async def _until_made(
        self, make: Callable[[TaskPlan], Awaitable[str | None]], plan: TaskPlan
    ) -> str | None:
        while True:
            end_if_cancelled()
            try:
                return await make(plan)
            except AWAY:
                self._book.calls["submit, no answer"] += 1
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _directly(self, plan: TaskPlan) -> str | None:
        try:
            submitted = await self._site.core.service.submit(
                self._spec(plan), idempotency_key=f"key-{plan.number}", request_hash="1"
            )
        except Conflict:
            if plan.dedup is None:
                raise
            return None
        if submitted.joined:
            self._book.calls["joined by its dedup key"] += 1
        return submitted.task.id

    async def _over_http(self, plan: TaskPlan) -> str:
        spec = self._spec(plan)
        body: dict[str, Any] = {
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
        if spec.ai_api_key:
            body["config"]["ai_api_key"] = spec.ai_api_key
        body |= {name: value for name, value in optional.items() if value}
        server = self._places.servers[plan.number % len(self._places.servers)]
        answer = await self._http.post(
            f"{server}/api/v1/tasks",
            json=body,
            headers={"Idempotency-Key": f"key-{plan.number}"},
        )
        if answer.status_code in {200, 201}:
            return str(answer.json()["id"])
        if answer.status_code not in {429, 503}:
            self._book.wrong.append(f"a submit got {answer.status_code}: {answer.text[:200]}")
        raise Unavailable(f"HTTP {answer.status_code}")

    def _spec(self, plan: TaskPlan) -> TaskSpec:
        labels = {"kind": plan.kind}
        prompt, url, token = REAL_PROMPT, self._site.repo.url, None
        if plan.is_real and plan.is_hosted:
            url, token = self._places.hosted_url, TOKEN
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
            callback_url=self._places.hook_url if plan.has_callback else None,
            access_token=token,
            ai_api_key=f"{MODEL_KEY}-{plan.repository}" if plan.kind == "quota" else None,
            dedup=_dedup(plan),
        )


def _dedup(plan: TaskPlan) -> Dedup | None:
    if plan.dedup is None:
        return None
    key, policy = plan.dedup
    return Dedup(key=key, policy=DedupPolicy(policy))
