"""A worker that dies while it publishes: afterwards there is exactly one pull request."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from internal.rdb.embedded import EmbeddedRedis
from internal.task.pullrequest import PullRequestOptions
from internal.task.state import State
from tests.support.chaos_site import TENANT, Site
from tests.support.forge import Forge, open_forge
from tests.support.hosts.double import TOKEN, Fault
from tests.support.waiting import until

pytestmark = pytest.mark.chaos

_HELD_SECONDS = 60


@pytest.fixture
def forge(site: Site, tmp_path: Path) -> Iterator[Forge]:
    """A forge that the workers of the site know."""
    site.variables["CODEFORGE_GIT__PROVIDER_DOMAINS"] = '{"127.0.0.1": "github"}'
    with open_forge(tmp_path / "forge") as forge:
        yield forge


async def test_promise_4_fault_a7_a_worker_killed_while_it_publishes_leaves_one(
    site: Site, forge: Forge
) -> None:
    """
    One task is killed between its push and the pull request, one between the pull request and the
    record; another worker brings both to their end, and nothing is there twice.
    """
    dying = await site.start()
    pushed, opened = [await _done(site, forge, f"write {name}: x") for name in ("a", "b")]
    dead = threading.Event()
    held: list[str] = []
    forge.faults.append(Fault(method="GET", path="/pulls", hold=_hold(held, "pushed", dead)))
    await _publish(site, pushed)
    await until("the first one asks for its pull request", lambda: held == ["pushed"])
    fault = Fault(method="POST", path="/pulls", after=True, hold=_hold(held, "opened", dead))
    forge.faults.append(fault)
    await _publish(site, opened)
    await until("the second one opens its pull request", lambda: len(held) == 2)
    heads = forge.heads()

    dying.kill()
    dead.set()
    await until("the host opened what it was asked for", lambda: len(forge.pulls) == 1)
    await site.start()

    for task in (pushed, opened):
        found = await site.finished(task)
        assert (found.status, found.lost, found.attempt) == (State.PR_CREATED, 1, 2)
        assert heads[f"codeforge/{task}"] == forge.heads()[f"codeforge/{task}"]
        names = await site.names(task)
        assert names.count("git/pr_created") == 1
        assert "git/pr_failed" not in names
    assert sorted(pull.head for pull in forge.pulls) == sorted(
        f"codeforge/{task}" for task in (pushed, opened)
    )
    assert forge.complaints == []
    await site.settle()


async def test_redis_may_be_away_while_a_pull_request_is_opened(
    site: Site, forge: Forge, redis: EmbeddedRedis
) -> None:
    """The worker says so once Redis is back; nobody does it a second time."""
    worker = await site.start()
    task = await _done(site, forge, "write a: x")
    back = threading.Event()
    held: list[str] = []
    forge.faults.append(Fault(method="GET", path="/pulls", hold=_hold(held, "asked", back)))
    await _publish(site, task)
    await until("the host is asked", lambda: held == ["asked"])

    assert redis.pid is not None
    os.kill(redis.pid, signal.SIGKILL)
    await redis.wait_ended()
    back.set()
    await until("the worker waits for Redis", lambda: "redis.awaited" in worker.log())
    await redis.start()
    found = await site.finished(task)

    assert (found.status, found.lost, found.attempt) == (State.PR_CREATED, 0, 1)
    assert len(forge.pulls) == 1
    await site.settle()


def _hold(held: list[str], name: str, until_set: threading.Event) -> Callable[[], None]:
    def hold() -> None:
        held.append(name)
        until_set.wait(_HELD_SECONDS)

    return hold


async def _done(site: Site, forge: Forge, prompt: str) -> str:
    task = await site.submit(prompt, repo_url=forge.url, access_token=TOKEN)
    await site.finished(task)
    return task


async def _publish(site: Site, task: str) -> None:
    await site.core.publishing.publish(TENANT, task, PullRequestOptions())
