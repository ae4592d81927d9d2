"""What makes room on a disk that is too full, and what never goes."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from internal.workspace.quota import DiskLevel, DiskQuota, DiskThresholds
from internal.workspace.sweep import TaskClaims, TaskRef
from internal.workspace.usage import WorkspaceUsage
from tests.support.git_home import TENANT, GitHome, git_home
from tests.support.repos import Repo, small_repo

MIB = 1 << 20


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    return small_repo(tmp_path / "origin" / "r.git")


@pytest.fixture
def home(tmp_path: Path) -> GitHome:
    return git_home(tmp_path / "home")


async def work(home: GitHome, origin: Repo, task: str, *, age: float, mebibytes: int = 1) -> Path:
    """A task's workspace of a size, recorded and unused for *age* seconds."""
    mirror = await home.mirror(origin.url)
    workspace, repo = await home.open(mirror, f"claim-of-{task}", task=task)
    (workspace.tree / "file").write_bytes(os.urandom(mebibytes * MIB))
    await repo.snapshot(workspace.tree, base=mirror.commit, claim=f"claim-of-{task}")
    await home.workspaces.keep(TENANT, task, f"claim-of-{task}")
    folder = workspace.tree.parent
    os.utime(folder / "used", (time.time() - age, time.time() - age))
    return folder


def idle(*tasks: str) -> dict[str, TaskClaims]:
    """Finished tasks whose work is recorded."""
    return {
        task: TaskClaims(leased=frozenset(), recorded=frozenset([f"claim-of-{task}"]))
        for task in tasks
    }


def quota(
    home: GitHome, known: Mapping[str, TaskClaims], *, critical: float, warning: float = 0
) -> DiskQuota:
    """Thresholds in MiB."""

    async def ask(tasks: Collection[TaskRef]) -> Mapping[TaskRef, TaskClaims]:
        return {(TENANT, task): claims for task, claims in known.items() if (TENANT, task) in tasks}

    thresholds = DiskThresholds(
        warning_bytes=int(warning * MIB), critical_bytes=int(critical * MIB)
    )
    return DiskQuota(home.workspaces, WorkspaceUsage(home.workspaces), thresholds, ask=ask)


async def test_the_one_unused_for_longest_goes_first_and_only_until_there_is_room(
    home: GitHome, origin: Repo
) -> None:
    """What is recorded of its work stays, with the session."""
    folders = [
        await work(home, origin, task, age=age)
        for task, age in (("new", 10), ("old", 3000), ("middle", 300))
    ]

    await quota(home, idle("new", "old", "middle"), critical=2.8).relieve()

    assert [folder.exists() for folder in folders] == [True, False, True]
    assert (await home.works.list_claims())[TENANT, "old"] == {"claim-of-old"}
    assert (await home.sessions.list_claims())[TENANT, "old"] == {"claim-of-old"}


async def test_fault_a27_what_is_needed_never_goes(home: GitHome, origin: Repo) -> None:
    """Not what runs, not what a queued follow-up will take over, however full the disk is."""
    running = await work(home, origin, "running", age=3000)
    queued = await work(home, origin, "queued", age=2000)
    known = {
        "running": TaskClaims(leased=frozenset(["claim-of-running"]), recorded=frozenset()),
        "queued": TaskClaims(
            leased=frozenset(), recorded=frozenset(["claim-of-queued"]), is_finished=False
        ),
    }
    full = quota(home, known, critical=0.1)

    await full.relieve()

    assert running.is_dir()
    assert queued.is_dir()
    assert full.level is DiskLevel.CRITICAL


async def test_fault_a27_below_the_critical_threshold_nothing_goes(
    home: GitHome, origin: Repo
) -> None:
    """A warning only says so, once."""
    folder = await work(home, origin, "task1", age=3000)
    warned = quota(home, idle("task1"), warning=0.5, critical=50)

    with capture_logs() as logs:
        await warned.relieve()
        await warned.relieve()

    assert folder.is_dir()
    assert [line["level"] for line in logs if line["event"] == "workspace.disk"] == ["warning"]


async def test_fault_a27_the_work_of_a_failed_run_counts(home: GitHome, origin: Repo) -> None:
    """All that lies there is measured, recorded or not."""
    mirror = await home.mirror(origin.url)
    workspace, _ = await home.open(mirror, "failed", task="task1")
    (workspace.tree / "file").write_bytes(os.urandom(MIB))
    usage = WorkspaceUsage(home.workspaces)

    await usage.measure()

    assert usage.mebibytes >= 1


async def test_sizes_are_what_the_disk_gives(home: GitHome, origin: Repo) -> None:
    """A file of holes takes nothing, one with two names counts once, a link is followed nowhere."""
    mirror = await home.mirror(origin.url)
    workspace, _ = await home.open(mirror, "claim1")
    usage = WorkspaceUsage(home.workspaces)
    await usage.measure()
    before = usage.total_bytes
    with (workspace.tree / "holes").open("wb") as file:
        file.truncate(1 << 40)
    (workspace.tree / "one").write_bytes(os.urandom(MIB))
    os.link(workspace.tree / "one", workspace.tree / "two")
    (workspace.tree / "link").symlink_to("/usr")

    await usage.measure()

    assert MIB <= usage.total_bytes - before < 2 * MIB


async def test_no_threshold_means_no_limit(home: GitHome, origin: Repo) -> None:
    """0 turns it off."""
    folder = await work(home, origin, "task1", age=3000)

    await quota(home, idle("task1"), critical=0).relieve()

    assert folder.is_dir()


async def test_a_follow_up_that_comes_meanwhile_is_seen(home: GitHome, origin: Repo) -> None:
    """Redis is asked before each removal, not once for all."""
    first = await work(home, origin, "first", age=3000)
    second = await work(home, origin, "second", age=2000)
    known = idle("first", "second")
    asked: list[TaskRef] = []

    async def ask(tasks: Collection[TaskRef]) -> Mapping[TaskRef, TaskClaims]:
        asked.extend(tasks)
        found = {(TENANT, task): known[task] for _, task in tasks}
        known["second"] = TaskClaims(
            leased=frozenset(), recorded=frozenset(["claim-of-second"]), is_finished=False
        )
        return found

    usage = WorkspaceUsage(home.workspaces)
    full = DiskQuota(home.workspaces, usage, DiskThresholds(critical_bytes=1), ask=ask)
    await full.relieve()

    assert not first.exists()
    assert second.is_dir()
