"""Recovery: a worker is killed with SIGKILL; how long until its task runs elsewhere."""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import Process
from dataclasses import dataclass
from random import Random

import httpx2

from benchmarks.deployment import Deployment, open_deployment, until
from benchmarks.scale import Scale
from benchmarks.table import Table, percentile
from tests.support.repos import small_repo

_BETWEEN_KILLS_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Victim:
    """A worker with its one task."""

    worker: Process
    task: str


async def run(scale: Scale) -> Table:
    """In each round some workers with one task each are killed, about a second apart."""
    async with open_deployment() as deployment:
        repo = await asyncio.to_thread(small_repo, deployment.directory / "small.git")
        await deployment.server()
        random = Random(1)  # noqa: S311 -- where in the heartbeat's period a kill falls
        seconds: list[float] = []
        async with deployment.client() as client:
            for _ in range(scale.recovery_rounds):
                seconds += await _round(deployment, client, repo.url, scale, random)
    return Table(
        title="Recovery after kill -9 of a worker",
        aim="p99 at most 15 s until the task runs elsewhere",
        columns=("kills", "p50 s", "p99 s", "max s"),
        rows=[
            [
                str(len(seconds)),
                *(f"{percentile(seconds, percent):.1f}" for percent in (50, 99)),
                f"{max(seconds):.1f}",
            ]
        ],
        notes=(
            "From the signal to the agent's first event in its second attempt: what is left of the "
            "9 s lease, 1 s grace, at most 1 s to the next look, claim, workspace, agent's start.",
        ),
    )


async def _round(
    deployment: Deployment, client: httpx2.AsyncClient, url: str, scale: Scale, random: Random
) -> list[float]:
    victims = [await _victim(deployment, client, url) for _ in range(scale.recovery_kills)]
    rescuer = await deployment.worker(CODEFORGE_WORKERS__CONCURRENCY="16")
    async with asyncio.TaskGroup() as group:
        waits: list[asyncio.Task[float]] = []
        for victim in victims:
            await asyncio.sleep(_BETWEEN_KILLS_SECONDS * random.uniform(0.5, 1.5))
            killed_at = time.monotonic()
            victim.worker.kill()
            waits.append(group.create_task(_until_rescued(client, victim.task, killed_at)))
    for victim in victims:
        await _cancel(client, victim.task)
    rescuer.terminate()
    await rescuer.wait()
    return [wait.result() for wait in waits]


async def _victim(deployment: Deployment, client: httpx2.AsyncClient, url: str) -> _Victim:
    worker = await deployment.worker(CODEFORGE_WORKERS__CONCURRENCY="1")
    body = {"repo_url": url, "prompt": "say hello\nhang"}
    task = (await client.post("/tasks", json=body)).raise_for_status().json()["id"]
    await until("the task runs", lambda: _has_spoken(client, task, attempt=1))
    return _Victim(worker=worker, task=task)


async def _until_rescued(client: httpx2.AsyncClient, task: str, killed_at: float) -> float:
    await until("the task runs elsewhere", lambda: _has_spoken(client, task, attempt=2))
    return time.monotonic() - killed_at


async def _has_spoken(client: httpx2.AsyncClient, task: str, *, attempt: int) -> bool:
    """Whether the agent has said something in this attempt."""
    events = (await client.get(f"/tasks/{task}/events")).json()["events"]
    starts = [number for number, event in enumerate(events) if event["event"] == "cli_started"]
    if len(starts) < attempt:
        return False
    return any(event["type"] == "stream" for event in events[starts[attempt - 1] :])


async def _cancel(client: httpx2.AsyncClient, task: str) -> None:
    (await client.post(f"/tasks/{task}/cancel")).raise_for_status()

    async def is_failed() -> bool:
        return bool((await client.get(f"/tasks/{task}")).json()["status"] == "failed")

    await until("the task has ended", is_failed)
