"""Workspaces over HTTP: a server asks the homes, and touches no disk itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from internal.ids import sortable_id
from internal.task.claims import claims_of
from internal.task.fenced import ref_of
from internal.task.model import Work
from internal.task.ops import OpKind
from internal.worker.ops import OpsLoop
from internal.worker.workspaces import WorkspaceAnswers
from internal.workspace.sweep import TaskClaims, TaskRef
from internal.workspace.usage import WorkspaceUsage
from tests.support.git_home import GitHome, git_home
from tests.support.repos import Repo, small_repo
from tests.support.service import KEYS, Service, body, completed

WORKSPACES = "/api/v1/workspaces"
MIB = 1 << 20
TTL_SECONDS = 3600


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    return small_repo(tmp_path / "origin" / "r.git")


@asynccontextmanager
async def living(service: Service, home: GitHome, name: str) -> AsyncGenerator[None]:
    """A worker of the home *name* that answers ops about its disk."""

    async def ask(tasks: Collection[TaskRef]) -> Mapping[TaskRef, TaskClaims]:
        known = await claims_of(service.redis, KEYS, tasks)
        return {
            ref: TaskClaims(
                leased=claims.leased, recorded=claims.recorded, is_finished=claims.is_finished
            )
            for ref, claims in known.items()
        }

    usage = WorkspaceUsage(home.workspaces)
    answers = WorkspaceAnswers(home.workspaces, usage, ask=ask, ttl_seconds=TTL_SECONDS)
    table = {OpKind.LIST_WORKSPACES: answers.list, OpKind.DELETE_WORKSPACE: answers.delete}
    stop = asyncio.Event()
    loop = asyncio.create_task(OpsLoop(service.deps.ops, table, home=name).run(stop))
    await service.queue.register(f"worker-of-{name}", name, {})
    try:
        yield
    finally:
        stop.set()
        await service.redis.rpush(KEYS.ops(name), "wakes the loop")  # else it looks up each 2 s
        await loop
        await service.redis.delete(KEYS.ops(name))
        await service.queue.unregister(f"worker-of-{name}", name)


async def a_task(
    service: Service, client: httpx2.AsyncClient, home: GitHome, origin: Repo, *, end: bool = True
) -> str:
    """A task with a workspace of a mebibyte on *home*; with *end* its run is over."""
    await client.post("/api/v1/tasks", json=body(repo_url="https://example.com/team/repo.git"))
    claim = await service.claim()
    mirror = await home.mirror(origin.url)
    workspace, repo = await home.open(mirror, claim.claim, task=claim.task.id)
    (workspace.tree / "file").write_bytes(os.urandom(MIB))
    snapshot = await repo.snapshot(workspace.tree, base=mirror.commit, claim=claim.claim)
    await home.workspaces.keep("default", claim.task.id, claim.claim)
    work = Work(commit=snapshot.commit, claim=claim.claim, home="home")
    assert ref_of(claim) == f"default/{claim.task.id}"
    if end:
        await service.finish(claim, completed(work=work))
    return claim.task.id


def rows(answer: httpx2.Response) -> dict[str, dict[str, Any]]:
    return {row["task_id"]: row for row in answer.json()["workspaces"]}


async def test_without_workers_there_is_nothing_and_that_is_no_error(
    client: httpx2.AsyncClient,
) -> None:
    """The first version's members are there; what cannot be is not found."""
    listed = await client.get(WORKSPACES)

    assert listed.status_code == 200
    assert listed.json() == {
        "workspaces": [],
        "total_count": 0,
        "total_size_mb": 0.0,
        "unreachable": [],
    }
    assert (await client.delete(f"{WORKSPACES}/nonexistent-id")).status_code == 404
    assert (await client.delete(f"{WORKSPACES}/{sortable_id()}")).status_code == 404
    assert (await client.delete(f"{WORKSPACES}/..%2F..%2Fetc")).status_code == 404


async def test_all_homes_are_asked_at_once(
    client: httpx2.AsyncClient, service: Service, origin: Repo, tmp_path: Path
) -> None:
    """Each workspace with its home, size and times; the one used last first."""
    one, two = git_home(tmp_path / "one"), git_home(tmp_path / "two")
    async with living(service, one, "one"), living(service, two, "two"):
        first = await a_task(service, client, one, origin)
        second = await a_task(service, client, two, origin)

        answer = await client.get(WORKSPACES)

    assert list(rows(answer)) == [second, first]
    row = rows(answer)[first]
    assert (row["home"], row["task_status"]) == ("one", "completed")
    assert row["size_bytes"] >= MIB
    assert row["size_mb"] >= 1
    assert row["created_at"] <= row["last_used_at"] < row["expires_at"]
    assert answer.json()["total_count"] == 2
    assert answer.json()["total_size_mb"] >= 2


async def test_a_home_that_does_not_answer_is_named(
    client: httpx2.AsyncClient,
    service: Service,
    origin: Repo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others are in the answer; what it may hold cannot be said to be missing."""
    monkeypatch.setattr("internal.task.ops.ANSWER_SECONDS", 5)
    home = git_home(tmp_path / "one")
    async with living(service, home, "one"):
        task = await a_task(service, client, home, origin)
        await service.queue.register("worker-of-silent", "silent", {})

        listed, deleted = await asyncio.gather(
            client.get(WORKSPACES), client.delete(f"{WORKSPACES}/{sortable_id()}")
        )

    assert listed.status_code == 200
    assert list(rows(listed)) == [task]
    assert listed.json()["unreachable"] == ["silent"]
    assert deleted.status_code == 503
    await service.queue.unregister("worker-of-silent", "silent")


async def test_a_workspace_is_removed_and_its_work_stays(
    client: httpx2.AsyncClient, service: Service, origin: Repo, tmp_path: Path
) -> None:
    """200, then 404; the snapshot and the session are for the next follow-up."""
    home = git_home(tmp_path / "one")
    async with living(service, home, "one"):
        task = await a_task(service, client, home, origin)

        removed = await client.delete(f"{WORKSPACES}/{task}")

        assert removed.status_code == 200
        assert rows(await client.get(WORKSPACES)) == {}
        assert (await client.delete(f"{WORKSPACES}/{task}")).status_code == 404
    assert not list(home.layout.task(task).glob("*/tree"))
    assert (await home.works.list_claims())["default", task]
    assert (await home.sessions.list_claims())["default", task]


@pytest.mark.live_keys  # its run does not end
async def test_a_workspace_in_use_is_not_removed(
    client: httpx2.AsyncClient, service: Service, origin: Repo, tmp_path: Path
) -> None:
    """409 while a run has it."""
    home = git_home(tmp_path / "one")
    async with living(service, home, "one"):
        task = await a_task(service, client, home, origin, end=False)

        refused = await client.delete(f"{WORKSPACES}/{task}")

        assert refused.status_code == 409
        assert rows(await client.get(WORKSPACES))[task]["task_status"] == "running"
    assert list(home.layout.task(task).glob("*/tree"))


async def test_a_workspace_without_its_task_is_unknown(
    client: httpx2.AsyncClient, service: Service, origin: Repo, tmp_path: Path
) -> None:
    """It can still be listed and removed until the sweep has found it."""
    home = git_home(tmp_path / "one")
    async with living(service, home, "one"):
        task = await a_task(service, client, home, origin)
        await client.delete(f"/api/v1/tasks/{task}")

        assert rows(await client.get(WORKSPACES))[task]["task_status"] == "unknown"
        assert (await client.delete(f"{WORKSPACES}/{task}")).status_code == 200


async def test_another_tenant_sees_and_removes_nothing(
    client: httpx2.AsyncClient, service: Service, origin: Repo, tmp_path: Path
) -> None:
    """The home asks its marker whose a directory is."""
    home = git_home(tmp_path / "one")
    async with living(service, home, "one"):
        task = await a_task(service, client, home, origin)
        listed = await service.deps.ops.ask("one", OpKind.LIST_WORKSPACES, {"tenant": "other"})
        deleted = await service.deps.ops.ask(
            "one", OpKind.DELETE_WORKSPACE, {"tenant": "other", "task": task}
        )

        assert listed == {"workspaces": []}
        assert deleted == {"found": False, "in_use": False}
        assert list(rows(await client.get(WORKSPACES))) == [task]
