"""The sweep: what it spares, what it removes, what it never touches."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import pytest

from internal.clock import SystemClock
from internal.errors import Unavailable
from internal.workspace.files import remove
from internal.workspace.sweep import Sweep, TaskClaims, TaskRef
from tests.support.git_home import TENANT, GitHome, git_home
from tests.support.repos import Repo, small_repo
from tests.support.waiting import until


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    return small_repo(tmp_path / "origin" / "r.git")


@pytest.fixture
def home(tmp_path: Path) -> GitHome:
    return git_home(tmp_path / "home")


@pytest.fixture
def nest() -> Iterator[Callable[[Path, int], None]]:
    """Nest directories far deeper than a path can be long; gone again even when the test fails."""
    nested: list[Path] = []

    def make(folder: Path, depth: int) -> None:
        nested.append(folder)
        descriptor = os.open(folder, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir("deeper", dir_fd=descriptor)
            inner = os.open("deeper", os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        os.close(descriptor)

    yield make
    for folder in nested:
        remove(folder)


def _sweep(home: GitHome, known: Mapping[str, TaskClaims], *, ttl_seconds: float = 3600) -> Sweep:
    async def ask(tasks: Collection[TaskRef]) -> Mapping[TaskRef, TaskClaims]:
        return {(TENANT, task): claims for task, claims in known.items() if (TENANT, task) in tasks}

    return Sweep(
        home.workspaces,
        [home.sessions, home.works],
        ask=ask,
        clock=SystemClock(),
        workspace_ttl_seconds=ttl_seconds,
    )


def _claims(
    *, leased: Collection[str] = (), recorded: Collection[str] = (), is_finished: bool = True
) -> TaskClaims:
    return TaskClaims(
        leased=frozenset(leased), recorded=frozenset(recorded), is_finished=is_finished
    )


async def _run(home: GitHome, origin: Repo, claim: str, *, task: str = "task1") -> Path:
    mirror = await home.mirror(origin.url)
    workspace, repo = await home.open(mirror, claim, task=task)
    await repo.snapshot(workspace.tree, base=mirror.commit, claim=claim)
    await home.workspaces.keep(TENANT, task, claim)
    return workspace.tree.parent


async def test_what_is_leased_or_recorded_is_spared(home: GitHome, origin: Repo) -> None:
    """A running claim and recorded work keep everything; a claim of a dead run loses it."""
    recorded = await _run(home, origin, "recorded")
    leased = await _run(home, origin, "leased")
    dead = await _run(home, origin, "dead")

    await _sweep(home, {"task1": _claims(leased=["leased"], recorded=["recorded"])}).sweep()

    assert (recorded.is_dir(), leased.is_dir(), dead.exists()) == (True, True, False)
    for store in (home.workspaces, home.sessions, home.works):
        assert (await store.list_claims())[TENANT, "task1"] == {"leased", "recorded"}


async def test_what_a_killed_git_left_goes_with_its_claim(home: GitHome, origin: Repo) -> None:
    """A lock is all that is left of a claim whose git was killed in its first command."""
    await _run(home, origin, "recorded")
    work = home.layout.works / TENANT / "task1.git"
    locks = [work / "indexes" / "dead1.lock", work / "refs" / "claims" / "dead2.lock"]
    for lock in locks:
        lock.touch()

    await _sweep(home, {"task1": _claims(recorded=["recorded"])}).sweep()

    assert [lock for lock in locks if lock.exists()] == []


async def test_a_workspace_unused_for_long_goes_and_its_work_stays(
    home: GitHome, origin: Repo
) -> None:
    """The directory is a convenience: after `workspace_ttl` only snapshot and session are left."""
    folder = await _run(home, origin, "claim1")
    used = folder / "used"
    os.utime(used, (time.time() - 7200, time.time() - 7200))

    await _sweep(home, {"task1": _claims(recorded=["claim1"])}).sweep()

    assert not folder.exists()
    assert (await home.works.list_claims())[TENANT, "task1"] == {"claim1"}
    assert (await home.sessions.list_claims())[TENANT, "task1"] == {"claim1"}


async def test_fault_a27_a_queued_follow_up_keeps_its_directory(
    home: GitHome, origin: Repo
) -> None:
    """Unused for long or not: the run that waits will take it over, with its ignored files."""
    folder = await _run(home, origin, "claim1")
    os.utime(folder / "used", (time.time() - 7200, time.time() - 7200))

    await _sweep(home, {"task1": _claims(recorded=["claim1"], is_finished=False)}).sweep()

    assert folder.is_dir()


async def test_fault_a27_the_time_to_live_counts_from_the_last_use(
    home: GitHome, origin: Repo
) -> None:
    """Not from its creation, however long ago that was."""
    folder = await _run(home, origin, "claim1")
    marker = home.layout.marker("task1")
    members = json.loads(marker.read_text())
    marker.write_text(json.dumps({**members, "created_at": 1_000_000}))

    await _sweep(home, {"task1": _claims(recorded=["claim1"])}).sweep()

    assert (await home.workspaces.list())[TENANT, "task1"].created_at == 1_000_000
    assert folder.is_dir()


async def test_an_erased_task_goes_at_the_bell(home: GitHome, origin: Repo) -> None:
    """Soon, without waiting for a round; a bell for a task that is there means nothing."""
    gone = await _run(home, origin, "claim1", task="task1")
    kept = await _run(home, origin, "claim2", task="task2")
    known = {"task1": _claims(recorded=["claim1"]), "task2": _claims(recorded=["claim2"])}
    sweep = _sweep(home, known)
    stop = asyncio.Event()
    loop = asyncio.create_task(sweep.run(stop))
    sweep.ring(TENANT, "task2")

    del known["task1"]
    sweep.ring(TENANT, "task1")
    await until("the erased task is gone", lambda: not gone.parent.exists())
    stop.set()
    await loop

    assert kept.is_dir()
    assert await home.works.find(TENANT, "task1") is None


async def test_fault_a27_an_orphaned_directory_is_erased(home: GitHome, origin: Repo) -> None:
    """Everything of a task that Redis does not know goes, and nothing of the others."""
    gone = await _run(home, origin, "claim1", task="task1")
    kept = await _run(home, origin, "claim2", task="task2")

    await _sweep(home, {"task2": _claims(recorded=["claim2"])}).sweep()

    assert not gone.parent.exists()
    assert kept.is_dir()
    assert await home.works.find(TENANT, "task1") is None


async def test_in_doubt_nothing_is_removed(home: GitHome, origin: Repo) -> None:
    """When Redis cannot be asked the round ends before anything was touched; the loop goes on."""
    folder = await _run(home, origin, "claim1")
    asked = asyncio.Event()

    async def ask(_tasks: Collection[TaskRef]) -> Mapping[TaskRef, TaskClaims]:
        asked.set()
        raise Unavailable("Redis is away")

    sweep = Sweep(home.workspaces, [], ask=ask, clock=SystemClock(), workspace_ttl_seconds=0)
    stop = asyncio.Event()
    loop = asyncio.create_task(sweep.run(stop))
    await asyncio.wait_for(asked.wait(), 30)
    stop.set()
    await asyncio.wait_for(loop, 30)

    assert folder.is_dir()


async def test_only_directories_with_our_marker_are_touched(
    home: GitHome, origin: Repo, tmp_path: Path
) -> None:
    """A directory of another home, without a marker, or behind a link is nobody's rubbish."""
    await _run(home, origin, "claim1")
    base = home.layout.workspace_base
    (base / "precious").mkdir()
    (base / "precious" / "file").write_text("mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".codeforge").write_bytes(home.layout.marker("task1").read_bytes())
    (base / "linked").symlink_to(outside)
    foreign = git_home(tmp_path / "foreign")
    (base / "task7").mkdir()
    (base / "task7" / ".codeforge").write_text(
        '{"home": "' + foreign.layout.home_id_file.read_text().strip() + '", "tenant": "default", '
        '"task": "task7"}'
    )

    await _sweep(home, {}).sweep()

    assert sorted(path.name for path in base.iterdir()) == ["linked", "precious", "task7"]
    assert (outside / ".codeforge").exists()


async def test_what_an_agent_locked_linked_or_nested_is_removed_without_following(
    home: GitHome, origin: Repo, tmp_path: Path, nest: Callable[[Path, int], None]
) -> None:
    """
    Links are removed, not what they point to; locked and very deep directories go all the same.
    """
    folder = await _run(home, origin, "claim1")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    (folder / "tree" / "link").symlink_to(outside)
    (folder / "tree" / "src" / "app.py").unlink()
    (folder / "tree" / "src" / "app.py").symlink_to(outside / "file")
    nest(folder / "tree", 1200)
    (folder / "tree" / "src").chmod(0)

    await _sweep(home, {}).sweep()

    assert not folder.parent.exists()
    assert (outside / "file").read_text() == "mine"
