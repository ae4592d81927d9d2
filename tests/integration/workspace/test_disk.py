"""A disk without room, and files whose owner took all rights from himself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from internal.errors import DiskFull
from tests.support.git_home import TENANT, git_home
from tests.support.repos import Repo, small_repo

ROOT = Path(__file__).parents[3]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if not mount or not umount or subprocess.run([mount, *options], check=False).returncode != 0:
        pytest.skip("may not mount a file system here")
    yield disk
    subprocess.run([umount, "--lazy", str(disk)], check=True)


async def test_a_full_disk_is_said_wherever_it_is_met(tmp_path: Path, tiny_disk: Path) -> None:
    """Mirror and workspace end with the same error, and no half mirror stays."""
    origin = Repo(tmp_path / "origin" / "r.git")
    origin.commit({f"file{number}": os.urandom(200_000) for number in range(10)})
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)
    home.layout.workspace_base.symlink_to(tiny_disk)
    cramped = git_home(tiny_disk / "home")

    with pytest.raises(DiskFull):
        await cramped.mirror(origin.url)
    with pytest.raises(DiskFull):
        await home.open(mirror, "claim1")

    assert not list(cramped.layout.mirrors.glob("*.git"))


async def test_a_snapshot_without_room_is_no_snapshot(tmp_path: Path, tiny_disk: Path) -> None:
    """A file that cannot be recorded for want of room is never silently left out."""
    origin = small_repo(tmp_path / "origin" / "r.git")
    home = git_home(tmp_path / "home")
    home.layout.works.symlink_to(tiny_disk)
    mirror = await home.mirror(origin.url)
    workspace, repo = await home.open(mirror, "claim1")
    (workspace.tree / "large").write_bytes(os.urandom(3 << 20))

    with pytest.raises(DiskFull):
        await repo.snapshot(workspace.tree, base=mirror.commit, claim="claim1")


_LOCKED = """
import asyncio, os, sys
from pathlib import Path
from tests.support.git_home import TENANT, git_home
from tests.support.repos import git, small_repo

async def main() -> None:
    root = Path(sys.argv[1])
    origin = small_repo(root / "origin" / "r.git")
    home = git_home(root / "home")
    mirror = await home.mirror(origin.url)
    workspace, repo = await home.open(mirror, "claim1")
    tree = workspace.tree
    for name in ("none", "listed", "inner"):
        (tree / name).mkdir()
        (tree / name / "file").write_text(name)
    git("init", "-q", cwd=tree / "inner")
    (tree / "secret").write_text("locked")
    (tree / "secret").chmod(0)
    (tree / "inner" / ".git").chmod(0)
    (tree / "none").chmod(0)
    (tree / "listed").chmod(0o444)
    (workspace.home / "session").write_text("1")
    workspace.home.chmod(0o500)

    snapshot = await repo.snapshot(tree, base=mirror.commit, claim="claim1")
    diff = await repo.diff(mirror.commit, snapshot.commit)
    await home.workspaces.keep(TENANT, "task1", "claim1")
    next_one, _ = await home.open(
        mirror, "claim2", start=snapshot.commit, previous="claim1"
    )
    session = (next_one.home / "session").read_text()
    (next_one.tree / "src").chmod(0)
    for store in (home.workspaces, home.sessions, home.works):
        await store.erase(TENANT, "task1")
    left = [path.name for path in home.layout.workspace_base.iterdir()]
    print(snapshot.complete, [file.path for file in diff.files], session, next_one.mode, left)

asyncio.run(main())
"""


def test_an_agent_that_locks_its_files_loses_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    """Without the rights of root: locked files are recorded, kept, taken over and removed."""
    argv = [sys.executable, "-c", _LOCKED, str(tmp_path)]
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root without setpriv reads everything")
        argv = [setpriv, "--bounding-set=-all", "--inh-caps=-all", *argv]

    done = subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    files = ["inner/file", "listed/file", "none/file", "secret"]
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"True {files} 1 reused []\n"


async def test_a_session_on_another_file_system_is_copied_without_links_followed(
    tmp_path: Path, tiny_disk: Path
) -> None:
    """Links stay links, sockets and caches are left out, and a full disk leaves no half session."""
    origin = small_repo(tmp_path / "origin" / "r.git")
    home = git_home(tmp_path / "home")
    home.layout.sessions.mkdir(parents=True)
    (tiny_disk / "sessions").mkdir()
    home.layout.sessions.rmdir()
    home.layout.sessions.symlink_to(tiny_disk / "sessions")
    workspace, _ = await home.open(await home.mirror(origin.url), "claim1")
    (workspace.home / "session").mkdir()
    (workspace.home / "session" / "id").write_text("1")
    (workspace.home / "link").symlink_to("/etc/passwd")
    (workspace.home / ".cache").mkdir()
    os.mkfifo(workspace.home / "pipe")

    await home.workspaces.keep(TENANT, "task1", "claim1")
    (workspace.home / "large").write_bytes(os.urandom(2 << 20))
    with pytest.raises(DiskFull):
        await home.sessions.keep(TENANT, "task1", "claim2", workspace.home)

    kept = home.sessions.path(TENANT, "task1", "claim1")
    assert sorted(path.name for path in kept.iterdir()) == ["link", "session"]
    assert (kept / "link").is_symlink()
    assert (kept / "session" / "id").read_text() == "1"
    assert await home.sessions.list_claims() == {(TENANT, "task1"): {"claim1"}}
