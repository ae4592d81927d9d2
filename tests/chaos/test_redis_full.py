"""Redis without memory or disk, as clients of the API see it: come back later, and nothing torn."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import os
from pathlib import Path

import httpx2
import pytest

from internal.rdb.embedded import EmbeddedRedis
from internal.task.state import State
from tests.support.chaos_site import Site, open_site
from tests.support.small_disk import small_disk
from tests.support.waiting import until

pytestmark = pytest.mark.chaos


async def test_promise_11_a_full_redis_refuses_new_work_and_ends_what_runs(site: Site) -> None:
    """503 with Retry-After and the cause; what was refused works later, with the same key."""
    await site.start()
    server = await site.serve()
    async with site.client(server.url) as http:
        running = await _submit(site, http, "running", "say begun\nsleep 2\nsay done")
        task = str(running.json()["id"])
        await site.until_said(task, "begun")

        await site.core.redis.config_set("maxmemory", "1")
        refused = await _submit(site, http, "late", "say late")
        ended = await site.finished(task)
        shown = await http.get(f"/api/v1/tasks/{task}")
        await site.core.redis.config_set("maxmemory", "0")
        await until("it is accepted", lambda: _is_accepted(site, http, "late", "say late"))

    assert (refused.status_code, shown.json()["status"]) == (503, "completed")
    assert int(refused.headers["Retry-After"]) >= 1
    assert (ended.status, ended.result, ended.lost) == (State.COMPLETED, "done", 0)
    site.tasks += [ref.partition("/")[2] for ref in (await site.world()).tasks]
    await site.settle()
    assert len(site.tasks) == 2


async def test_promise_11_processes_start_on_a_full_redis(site: Site) -> None:
    """Else a restart would take away the last ones that can make room."""
    await site.serve()
    await site.core.redis.config_set("maxmemory", "1")
    server = await site.serve()
    await site.start()
    await site.core.redis.config_set("maxmemory", "0")

    async with site.client(server.url) as http:
        accepted = await _submit(site, http, "first", "say done")
        ended = await site.finished(str(accepted.json()["id"]))

    assert ended.status is State.COMPLETED
    site.tasks.append(str(accepted.json()["id"]))
    await site.settle()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
async def test_promise_10_a_full_disk_below_redis_refuses_writes_and_goes_on_by_itself(
    tmp_path: Path,
) -> None:
    """With fsync each second Redis says MISCONF: 503, reads work, and room is all it needs."""
    with small_disk(tmp_path) as filler:
        async with EmbeddedRedis(tmp_path) as redis, open_site(redis.url) as site:
            await site.core.redis.config_set("appendfsync", "everysec")
            server = await site.serve()
            async with site.client(server.url) as http:
                first = await _submit(site, http, "first", "say first")
                task = str(first.json()["id"])
                full = b"x" * 60_000

                async def is_refused() -> bool:
                    return (await _submit(site, http, os.urandom(8).hex(), full.decode())).is_error

                await until("writes are refused", is_refused)
                refused = await _submit(site, http, "late", "say late")
                shown = await http.get(f"/api/v1/tasks/{task}")
                filler.unlink()
                await until("it is accepted", lambda: _is_accepted(site, http, "late", "say late"))
            assert site.processes[0].exit_status is None

    assert (first.status_code, refused.status_code, shown.status_code) == (201, 503, 200)
    assert "disk" in refused.json()["message"]
    assert int(refused.headers["Retry-After"]) >= 1


async def _submit(site: Site, http: httpx2.AsyncClient, key: str, prompt: str) -> httpx2.Response:
    request = {"repo_url": site.repo.url, "prompt": prompt, "config": {"cli": "demo"}}
    return await http.post("/api/v1/tasks", json=request, headers={"Idempotency-Key": key})


async def _is_accepted(site: Site, http: httpx2.AsyncClient, key: str, prompt: str) -> bool:
    return (await _submit(site, http, key, prompt)).is_success
