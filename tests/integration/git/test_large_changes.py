"""Changes too large to hold: counted and named all the same, and the worker stays responsive."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from internal.git import work as work_module
from internal.git.cli import Git
from internal.git.diff import DiffLimits, read_listing
from internal.git.model import Changes, FileStatus, Snapshot
from internal.git.work import TrustedRepo
from tests.support.git_home import git_home
from tests.support.repos import small_repo

P = ParamSpec("P")
R = TypeVar("R")


class Work:
    """A workspace and its trusted git directory."""

    def __init__(self, tree: Path, repo: TrustedRepo, base: str) -> None:
        self.tree = tree
        self.repo = repo
        self.base = base

    async def snapshot(self) -> Snapshot:
        return await self.repo.snapshot(self.tree, base=self.base, claim="claim1")


@pytest.fixture
async def work(tmp_path: Path) -> Work:
    origin = small_repo(tmp_path / "origin" / "r.git")
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)
    workspace, repo = await home.open(mirror, "claim1")
    return Work(workspace.tree, repo, mirror.commit)


def _git_as(tmp_path: Path, script: str) -> Git:
    """Git behind a shell script that may change how it runs."""
    wrapper = tmp_path / "git-wrapper"
    wrapper.write_text(f'#!/bin/sh\n{script}\nexec git "$@"\n')
    wrapper.chmod(0o755)
    return Git(home=tmp_path / "git-home", environment=os.environ, executable=str(wrapper))


def _noting(
    function: Callable[P, R], threads: dict[str, threading.Thread], name: str
) -> Callable[P, R]:
    def noting(*args: P.args, **kwargs: P.kwargs) -> R:
        threads[name] = threading.current_thread()
        return function(*args, **kwargs)

    return noting


async def test_of_too_many_files_the_first_are_listed_and_all_are_counted(work: Work) -> None:
    """A change beyond the limit of files has no patch, and counts that are whole."""
    for number in range(30):
        (work.tree / f"new{number:02}.txt").write_text("1\n2\n")
    head = (await work.snapshot()).commit

    cut = await work.repo.diff(work.base, head, limits=DiffLimits(max_files=10))
    whole = await work.repo.diff(work.base, head, limits=DiffLimits(max_files=30))

    assert (len(cut.files), cut.truncated, cut.patch) == (10, True, b"")
    assert cut.files[0].additions == 2
    assert cut.changes == whole.changes == Changes(files_created=30, insertions=60)
    assert (len(whole.files), whole.truncated) == (30, False)


async def test_names_are_read_beside_the_event_loop(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever grows with the agent's tree is read in a thread."""
    (work.tree / "new.txt").write_text("new\n")
    head = (await work.snapshot()).commit
    threads: dict[str, threading.Thread] = {}
    for name in ("changed_blobs", "read_listing", "with_patches"):
        monkeypatch.setattr(work_module, name, _noting(getattr(work_module, name), threads, name))

    await work.repo.diff(work.base, head)

    assert sorted(threads) == ["changed_blobs", "read_listing", "with_patches"]
    assert threading.main_thread() not in threads.values()


async def test_a_large_file_costs_the_patch_and_nothing_else(work: Work) -> None:
    """Added or only removed again: named and counted, no patch for any file."""
    (work.tree / "large.bin").write_bytes(bytes(5000))
    (work.tree / "small.txt").write_text("small\n")
    (work.tree / "run.sh").rename(work.tree / "moved.sh")
    head = (await work.snapshot()).commit
    limits = DiffLimits(max_blob_bytes=4000)

    added = await work.repo.diff(work.base, head, limits=limits)
    removed = await work.repo.diff(head, work.base, limits=limits)

    assert [(file.path, file.status) for file in added.files] == [
        ("large.bin", FileStatus.ADDED),
        ("moved.sh", FileStatus.RENAMED),
        ("small.txt", FileStatus.ADDED),
    ]
    assert (added.truncated, added.patch, added.changes.insertions) == (True, b"", 1)
    assert (removed.truncated, removed.patch, removed.changes.deletions) == (True, b"", 1)
    assert all(file.patch is None for file in (*added.files, *removed.files))


async def test_a_huge_file_takes_no_memory_of_its_size(work: Work, tmp_path: Path) -> None:
    """Recorded, compared and described with less memory than the file has bytes."""
    with (work.tree / "huge.bin").open("wb") as huge:
        huge.truncate(96 << 20)
    repo = TrustedRepo(_git_as(tmp_path, "ulimit -v 81920"), work.repo.path)

    snapshot = await repo.snapshot(work.tree, base=work.base, claim="claim1")
    diff = await repo.diff(work.base, snapshot.commit)

    assert snapshot.complete
    assert [(file.path, file.binary) for file in diff.files] == [("huge.bin", True)]
    assert (diff.truncated, diff.changes.files_created) == (True, 1)
    assert await repo.equals(work.tree, claim="claim1", commit=snapshot.commit)


@pytest.mark.parametrize(("option", "lines"), [("--binary", 1), ("--numstat", 0)])
async def test_a_failure_of_git_to_describe_work_does_not_lose_it(
    work: Work, tmp_path: Path, option: str, lines: int
) -> None:
    """Without a patch, or without lines counted, the names of what changed are still told."""
    (work.tree / "new.txt").write_text("new\n")
    head = (await work.snapshot()).commit
    script = f'case " $* " in *" {option} "*) echo "fatal: out of memory" >&2; exit 128;; esac'
    repo = TrustedRepo(_git_as(tmp_path, script), work.repo.path)

    diff = await repo.diff(work.base, head)

    assert [(file.path, file.status) for file in diff.files] == [("new.txt", FileStatus.ADDED)]
    assert (diff.truncated, diff.patch) == (True, b"")
    assert (diff.changes.files_created, diff.changes.insertions) == (1, lines)


def test_names_cut_at_their_limit_are_read_as_far_as_they_go() -> None:
    """Output that ends within a record gives the records before it."""
    record = b":000000 100644 " + b"0" * 40 + b" " + b"1" * 40 + b" A\0"

    listings = [
        read_listing(record + b"a\0" + rest, max_files=5)
        for rest in (b"", record[:20], record, record + b"cut off")
    ]

    assert {listing.changes.files_created for listing in listings} == {1}
