"""Memory: what an idle server and worker take, and what each running task and viewer adds."""

from __future__ import annotations

import asyncio

import httpx2

from benchmarks.deployment import Deployment, open_deployment, until
from benchmarks.procfs import children, proportional_bytes, resident_bytes
from benchmarks.programs import hear, tell
from benchmarks.scale import Scale
from benchmarks.table import Table, mebibytes
from tests.support.repos import small_repo


async def run(scale: Scale) -> Table:
    """One deployment: idle, then with running tasks, then with viewers on them."""
    settings = {"workers": {"concurrency": scale.memory_tasks}}
    async with open_deployment(overrides=settings) as deployment:
        repo = await asyncio.to_thread(small_repo, deployment.directory / "small.git")
        server, worker = await deployment.server(), await deployment.worker()
        await asyncio.sleep(scale.memory_idle_seconds)  # start-up is over, pools are still empty
        rows = [
            ["idle server process", *_memory(server.pid)],
            ["idle worker process", *_memory(worker.pid)],
            ["embedded Redis, empty", *_memory(deployment.redis_pid)],
        ]
        before = resident_bytes(worker.pid)
        async with deployment.client() as client:
            tasks = [await _hanging_task(client, repo.url) for _ in range(scale.memory_tasks)]
            await until("the agents run", lambda: _all_run(client, tasks))
        more = (resident_bytes(worker.pid) - before) / len(tasks)
        shims = [pid for pid in children(worker.pid) if children(pid)]
        rows += [
            ["running task: worker more", mebibytes(more), "-"],
            ["running task: its shim", *_mean(shims)],
            ["running task: the demo agent", *_mean([p for pid in shims for p in children(pid)])],
        ]
        rows.append(["viewer: server more", await _viewer(deployment, server.pid, tasks, scale)])
        rows[-1].append("-")
    return Table(
        title="Memory",
        aim="idle server and worker at most 80 MB each",
        columns=("what", "RSS, MiB", "PSS, MiB"),
        rows=rows,
        notes=(
            f"Means of {len(tasks)} tasks and {scale.memory_viewers:,} viewers. PSS counts pages "
            "that processes share (the interpreter's) in parts.",
        ),
    )


async def _hanging_task(client: httpx2.AsyncClient, url: str) -> str:
    answer = await client.post("/tasks", json={"repo_url": url, "prompt": "say hello\nhang"})
    return str(answer.raise_for_status().json()["id"])


async def _all_run(client: httpx2.AsyncClient, tasks: list[str]) -> bool:
    for task in tasks:
        events = (await client.get(f"/tasks/{task}/events")).json()["events"]
        if not any(event["type"] == "stream" for event in events):
            return False
    return True


async def _viewer(deployment: Deployment, server: int, tasks: list[str], scale: Scale) -> str:
    client = await deployment.program("sse_load")
    before = resident_bytes(server)
    order = {
        "host": "127.0.0.1",
        "port": deployment.settings.server.port,
        "token": deployment.secrets.auth_token,
        "tasks": tasks,
        "viewers": scale.memory_viewers,
        "events": 1,  # none will come: the viewers stay for as long as it takes
    }
    await tell(client, order)
    await hear(client)
    return f"{(resident_bytes(server) - before) / scale.memory_viewers / (1 << 20):.3f}"


def _memory(pid: int) -> list[str]:
    return [mebibytes(resident_bytes(pid)), mebibytes(proportional_bytes(pid))]


def _mean(pids: list[int]) -> list[str]:
    return [
        mebibytes(sum(measure(pid) for pid in pids) / len(pids))
        for measure in (resident_bytes, proportional_bytes)
    ]
