"""Which mirrors go when they take more than their budget, and which never do."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from internal.git.cache import Mirror
from internal.git.evict import MirrorBudget
from internal.git.failure import CloneFailed
from internal.git.lock import file_lock
from tests.support.git_home import TENANT, GitHome, git_home
from tests.support.repos import Repo, small_repo


@pytest.fixture
def home(tmp_path: Path) -> GitHome:
    return git_home(tmp_path / "home")


@pytest.fixture
def origins(tmp_path: Path) -> list[Repo]:
    return [small_repo(tmp_path / "origin" / f"r{number}.git") for number in range(3)]


async def aged(home: GitHome, repo: Repo, *, age: float) -> Mirror:
    """A mirror that nobody has asked for since *age* seconds."""
    mirror = await home.mirror(repo.url)
    moment = time.time() - age
    os.utime(mirror.path / "codeforge-used", (moment, moment))
    return mirror


def budget(home: GitHome, size: int, evicted: list[str] | None = None) -> MirrorBudget:
    async def note(key: str) -> None:
        if evicted is not None:
            evicted.append(key)
        await home.spares.forget(key)

    return MirrorBudget(home.layout.mirrors, budget_bytes=size, on_evicted=note, idle_seconds=60)


async def test_the_one_unused_for_longest_goes_until_the_rest_fits(
    home: GitHome, origins: list[Repo]
) -> None:
    """And a task that wants it again fetches it again."""
    ages = (3000, 9000, 6000)
    mirrors = [await aged(home, repo, age=age) for repo, age in zip(origins, ages, strict=True)]
    one = sum(file.stat().st_blocks * 512 for file in mirrors[0].path.rglob("*") if file.is_file())
    evicted: list[str] = []

    assert await budget(home, int(2.5 * one), evicted).evict() == 1

    assert [mirror.path.exists() for mirror in mirrors] == [True, False, True]
    assert evicted == [mirrors[1].key]
    again = await home.mirror(origins[1].url)
    assert again.commit == mirrors[1].commit


async def test_what_kept_work_builds_on_stays(home: GitHome, origins: list[Repo]) -> None:
    """Until the last task that has its base commit in it is erased."""
    mirror = await aged(home, origins[0], age=9000)
    await home.works.open(TENANT, "task1", mirror)

    assert await budget(home, 0).evict() == 0

    await home.works.erase(TENANT, "task1")
    assert await budget(home, 0).evict() == 1
    assert not mirror.path.exists()


async def test_what_is_fetched_or_was_just_asked_for_stays(
    home: GitHome, origins: list[Repo]
) -> None:
    """A run has only the files until it holds its base commit."""
    fresh = await home.mirror(origins[0].url)
    locked = await aged(home, origins[1], age=9000)

    async with file_lock(locked.path.with_suffix(".lock"), timeout_seconds=5):
        assert await budget(home, 0).evict() == 0

    assert fresh.path.is_dir()
    assert locked.path.is_dir()


async def test_a_mirror_is_used_from_the_moment_it_is_asked_for(
    home: GitHome, origins: list[Repo]
) -> None:
    """Not only when the answer of the remote is there."""
    mirror = await aged(home, origins[0], age=9000)

    asking = asyncio.create_task(home.mirror(origins[0].url))
    await asking

    assert await budget(home, 0).evict() == 0
    assert mirror.path.is_dir()


async def test_a_run_whose_mirror_went_fetches_it_anew(home: GitHome, origins: list[Repo]) -> None:
    """It fails as retryable: the queue repeats it by itself."""
    mirror = await aged(home, origins[0], age=9000)
    await budget(home, 0).evict()

    with pytest.raises(CloneFailed) as failed:
        await home.works.open(TENANT, "task1", mirror)

    assert failed.value.retryable
    await home.works.open(TENANT, "task1", await home.mirror(origins[0].url))


async def test_ready_trees_go_with_their_mirror(home: GitHome, origins: list[Repo]) -> None:
    """They may borrow its objects."""
    mirror = await aged(home, origins[0], age=9000)
    assert await home.spares.replenish(mirror) > 0

    await budget(home, 0).evict()

    assert await home.spares.take(mirror, home.layout.spares / "tree", Path("index")) is None


async def test_what_a_killed_process_left_is_removed(home: GitHome, origins: list[Repo]) -> None:
    """A mirror half removed has another name, under which nobody looks for it."""
    mirror = await aged(home, origins[0], age=10)
    left = mirror.path.with_name(f"{mirror.path.stem}.evicted-1234")
    left.mkdir()
    (left / "HEAD").write_text("x")

    assert await budget(home, 1 << 30).evict() == 0

    assert not left.exists()
    assert mirror.path.is_dir()
