"""Ready trees: how many are made, who gets them, what they may take."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from internal.workspace.files import remove
from internal.workspace.manager import Mode
from internal.workspace.spare import SpareSettings
from tests.support.git_home import GitHome, git_home
from tests.support.repos import Repo, git, small_repo


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    return small_repo(tmp_path / "origin" / "r.git")


def _ready(home: GitHome) -> list[Path]:
    return sorted(home.layout.spares.glob("*/*/*/ready-*"))


async def _until_two_are_ready(home: GitHome) -> None:
    async with asyncio.timeout(60):
        while len(_ready(home)) < 2:  # noqa: ASYNC110 - the fact lies on the disk
            await asyncio.sleep(0.01)


async def test_trees_are_made_up_to_the_setting(tmp_path: Path, origin: Repo) -> None:
    """Two per repository by default; a second round makes none."""
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)

    made = [await home.spares.replenish(mirror) for _ in range(2)]

    assert made == [2, 0]
    assert len(_ready(home)) == 2


async def test_a_taken_tree_is_replaced_in_the_background(tmp_path: Path, origin: Repo) -> None:
    """Taking one, or finding none, asks for new ones; none are made without that."""
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)
    stop = asyncio.Event()
    loop = asyncio.create_task(home.spares.run(stop))

    first, _ = await home.open(mirror, "claim1")
    await _until_two_are_ready(home)
    second, _ = await home.open(mirror, "claim2")
    await _until_two_are_ready(home)
    stop.set()
    await asyncio.wait_for(loop, 30)

    assert (first.mode, second.mode) == (Mode.CHECKOUT, Mode.SPARE)


async def test_one_tree_is_given_to_one_claim(tmp_path: Path, origin: Repo) -> None:
    """However many claims ask at once, each ready tree goes to exactly one."""
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)
    await home.spares.replenish(mirror)

    opened = await asyncio.gather(
        *(home.open(mirror, f"claim{n}", task=f"task{n}") for n in range(5))
    )

    modes = [workspace.mode for workspace, _ in opened]
    assert (modes.count(Mode.SPARE), modes.count(Mode.CHECKOUT)) == (2, 3)
    for workspace, _ in opened:
        assert git("status", "--porcelain", cwd=workspace.tree) == ""


async def test_the_repository_unused_for_longest_gives_way(tmp_path: Path, origin: Repo) -> None:
    """Over the budget, trees of the repository nobody asked for go first."""
    probe = git_home(tmp_path / "probe")
    await probe.spares.replenish(await probe.mirror(origin.url))
    size = int((_ready(probe)[0] / "bytes").read_text())
    home = git_home(
        tmp_path / "home", spares=SpareSettings(per_repository=2, budget_bytes=3 * size)
    )
    other = small_repo(tmp_path / "origin" / "other.git")
    old, new = await home.mirror(origin.url), await home.mirror(other.url)
    await home.spares.replenish(old)
    await home.spares.replenish(new)

    kept = [path.parent.name for path in _ready(home)]

    assert sorted(kept) == sorted([old.key, new.key, new.key])


async def test_a_repository_too_large_for_the_budget_gets_none(
    tmp_path: Path, origin: Repo
) -> None:
    """A tree that does not fit is removed at once and not made again and again."""
    home = git_home(tmp_path / "home", spares=SpareSettings(per_repository=2, budget_bytes=1))
    mirror = await home.mirror(origin.url)

    made = [await home.spares.replenish(mirror) for _ in range(2)]

    assert made == [0, 0]
    assert _ready(home) == []


async def test_a_half_made_tree_of_a_killed_process_is_never_given(
    tmp_path: Path, origin: Repo
) -> None:
    """A process killed while making a tree leaves only something the next maker removes."""
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)
    await home.spares.replenish(mirror)
    folder = _ready(home)[0].parent
    for ready in _ready(home):
        remove(ready)
    (folder / "making-dead" / "tree").mkdir(parents=True)

    workspace, _ = await home.open(mirror, "claim1")
    await home.spares.replenish(mirror)

    assert workspace.mode is Mode.CHECKOUT
    assert not list(folder.glob("making-*"))


async def test_a_follow_up_does_not_make_trees_of_the_past(tmp_path: Path, origin: Repo) -> None:
    """Trees are made at the newest commit of a branch, not at the base of an old task."""
    home = git_home(tmp_path / "home")
    origin.tag("v1")
    old = await home.mirror(origin.url, target="v1")
    origin.commit({"new.txt": "new"})
    new = await home.mirror(origin.url)
    await home.open(new, "claim1", task="task1")
    await home.open(old, "claim2", task="task2")
    stop = asyncio.Event()

    loop = asyncio.create_task(home.spares.run(stop))
    await _until_two_are_ready(home)
    stop.set()
    await asyncio.wait_for(loop, 30)

    assert {(path / "position").read_text() for path in _ready(home)} == {f"{new.commit} main"}


async def test_trees_from_before_the_machine_started_are_removed(
    tmp_path: Path, origin: Repo
) -> None:
    """Spare trees are not flushed to the disk: after a restart they may be anything."""
    home = git_home(tmp_path / "home")
    await home.spares.replenish(await home.mirror(origin.url))
    current = _ready(home)[0].parents[1]
    (current.parent / "copied-earlier" / "r" / "ready-1").mkdir(parents=True)
    stop = asyncio.Event()
    stop.set()

    await home.spares.run(stop)

    assert [path.name for path in current.parent.iterdir()] == [current.name]
    assert len(_ready(home)) == 2


_HOLD_LOCK = """
import fcntl, sys
with open(sys.argv[1], "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.readline()
"""


async def test_two_processes_do_not_make_the_same_trees(tmp_path: Path, origin: Repo) -> None:
    """While one process makes trees of a repository another leaves it alone."""
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)
    await home.spares.replenish(mirror)
    folder = _ready(home)[0].parent
    for ready in _ready(home):
        remove(ready)
    other = _lock(folder / "lock")
    while_locked = await home.spares.replenish(mirror)
    other.communicate(b"\n", timeout=30)

    assert while_locked == 0
    assert await home.spares.replenish(mirror) == 2


def _lock(path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD_LOCK, os.fspath(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    return process
