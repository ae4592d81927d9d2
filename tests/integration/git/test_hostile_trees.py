"""
Trees made by an agent that means harm: nothing of theirs runs, nothing is followed, nothing is
lost.

Each payload writes a file named after it outside the workspace. A control test shows that plain git
does run them.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from internal.git.model import Diff, FileStatus, Snapshot
from internal.git.work import TrustedRepo
from tests.support.git_home import GitHome, git_home
from tests.support.repos import Repo, git, small_repo

HOOKS = (
    "pre-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "post-index-change",
    "reference-transaction",
    "post-checkout",
    "pre-push",
)


class Hostile:
    """A workspace in the middle of a run, and the payloads that were planted in it."""

    def __init__(self, home: GitHome, tree: Path, repo: TrustedRepo, base: str, ran: Path) -> None:
        self.home = home
        self.tree = tree
        self.repo = repo
        self.base = base
        self.ran = ran

    def payload(self, name: str) -> str:
        """A command that leaves a trace when it runs."""
        program = self.ran.parent / f"payload-{name}"
        program.write_text(f'#!/bin/sh\ntouch "{self.ran}/{name}"\ncat 2>/dev/null\nexit 0\n')
        program.chmod(0o755)
        return str(program)

    def executed(self) -> list[str]:
        return sorted(path.name for path in self.ran.iterdir())

    def poison(self, git_dir: Path, label: str) -> None:
        """Plant the ten kinds of payload into the configuration and hooks of *git_dir*."""
        settings = {
            "core.fsmonitor": f"{label}-fsmonitor",
            "core.pager": f"{label}-pager",
            "diff.external": f"{label}-external",
            "filter.evil.clean": f"{label}-clean",
            "filter.evil.smudge": f"{label}-smudge",
            "filter.evil.process": f"{label}-process",
            "diff.evil.textconv": f"{label}-textconv",
            "core.sshCommand": f"{label}-ssh",
            "credential.helper": f"{label}-credential",
            "core.alternateRefsCommand": f"{label}-alternates",
        }
        for setting, name in settings.items():
            git(
                "config",
                "--file",
                str(git_dir / "config"),
                setting,
                self.payload(name),
                cwd=self.tree,
            )
        inside = f"ext::{self.payload(f'{label}-ext')} %S"
        for url in ("file://", "http://", "/"):
            key = f"url.{inside}.insteadOf"
            git("config", "--file", str(git_dir / "config"), "--add", key, url, cwd=self.tree)
        hooks = git_dir / "hooks"
        hooks.mkdir(exist_ok=True)
        for hook in HOOKS:
            (hooks / hook).unlink(missing_ok=True)
            (hooks / hook).symlink_to(self.payload(f"{label}-{hook}"))

    async def record(self) -> tuple[Snapshot, Diff]:
        """What the worker does at the end of a run and of the next one's start."""
        snapshot = await self.repo.snapshot(self.tree, base=self.base, claim="claim1")
        assert await self.repo.equals(self.tree, claim="claim1", commit=snapshot.commit)
        return snapshot, await self.repo.diff(self.base, snapshot.commit)


@pytest.fixture
async def hostile(tmp_path: Path) -> Hostile:
    origin: Repo = small_repo(tmp_path / "origin" / "r.git")
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)
    workspace, repo = await home.open(mirror, "claim1")
    ran = tmp_path / "ran"
    ran.mkdir()
    return Hostile(home, workspace.tree, repo, mirror.commit, ran)


def _paths(diff: Diff) -> list[str]:
    return sorted(file.path for file in diff.files)


async def test_fault_a5_b2_no_payload_in_the_agents_repository_runs(hostile: Hostile) -> None:
    """Configuration, hooks, filters and attributes of the agent's `.git` are never read."""
    hostile.poison(hostile.tree / ".git", "own")
    (hostile.tree / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (hostile.tree / "README.md").write_text("changed\n")

    _, diff = await hostile.record()

    assert hostile.executed() == []
    assert _paths(diff) == [".gitattributes", "README.md"]


async def test_the_payloads_do_run_in_plain_git(hostile: Hostile) -> None:
    """The control: the same tree bites whoever uses git in it without care."""
    hostile.poison(hostile.tree / ".git", "own")
    (hostile.tree / ".gitattributes").write_text("*.md filter=evil\n")
    (hostile.tree / "README.md").write_text("changed\n")

    for command in (["status"], ["diff"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run(  # noqa: ASYNC221 - nothing else runs here
            ["git", "-c", "protocol.ext.allow=always", *command],  # noqa: S607 - as a person would
            cwd=hostile.tree,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            capture_output=True,
            check=False,
            timeout=30,
        )

    assert len(hostile.executed()) >= 8


async def test_no_payload_in_an_embedded_repository_runs(hostile: Hostile) -> None:
    """A repository planted inside the tree is recorded as files, and is whole again afterwards."""
    inner = hostile.tree / "vendor" / "inner"
    inner.mkdir(parents=True)
    git("init", "-q", cwd=inner)
    (inner / "code.py").write_text("print(1)\n")
    git("add", "-A", cwd=inner)
    git("commit", "-q", "-m", "inner", cwd=inner)
    hostile.poison(inner / ".git", "inner")
    (inner / "code.py").write_text("print(2)\n")

    snapshot, diff = await hostile.record()

    assert hostile.executed() == []
    assert _paths(diff) == ["vendor/inner/code.py"]
    assert snapshot.embedded == ("vendor/inner",)
    assert (inner / ".git" / "HEAD").is_file()
    assert sorted(path.name for path in hostile.tree.parent.iterdir()) == ["home", "tree", "used"]


@pytest.mark.parametrize("kind", ["empty", "file", "link", "pipe", "bare"])
async def test_whatever_is_called_dot_git_is_not_followed(
    hostile: Hostile, tmp_path: Path, kind: str
) -> None:
    """A `.git` without commits, pointing elsewhere, linked or never answering stops nothing."""
    inner = hostile.tree / "inner"
    inner.mkdir()
    (inner / "file").write_text("x")
    match kind:
        case "empty":
            git("init", "-q", cwd=inner)
        case "file":
            (inner / ".git").write_text(f"gitdir: {hostile.repo.path}\n")
        case "link":
            (inner / ".git").symlink_to(hostile.repo.path)
        case "pipe":
            os.mkfifo(inner / ".git")
        case _:
            git("init", "-q", "--bare", str(tmp_path / "bare"), cwd=tmp_path)
            (inner / "HEAD").write_text("ref: refs/heads/main\n")
            (inner / "objects").mkdir()
            (inner / "refs").mkdir()

    _, diff = await hostile.record()

    assert "inner/file" in _paths(diff)
    assert not [path for path in _paths(diff) if "/.git" in path]


async def test_files_git_would_open_and_wait_for_are_removed(hostile: Hostile) -> None:
    """A pipe named `.gitignore` would hold git for ever; it is no work of anybody."""
    for folder in (hostile.tree, hostile.tree / "src"):
        for name in (".gitignore", ".gitattributes"):
            (folder / name).unlink(missing_ok=True)
            os.mkfifo(folder / name)
    os.mkfifo(hostile.tree / "pipe")

    _, diff = await hostile.record()

    assert [(file.path, file.status) for file in diff.files] == [(".gitignore", FileStatus.DELETED)]


async def test_a_planted_gitlink_is_not_recorded(hostile: Hostile) -> None:
    """Gitlinks that the agent commits exist only in its own repository."""
    entry = f"160000,{hostile.base},evil"
    git("update-index", "--add", "--cacheinfo", entry, cwd=hostile.tree)
    git("commit", "-q", "-m", "gitlink", cwd=hostile.tree)
    (hostile.tree / ".gitmodules").write_text(
        f'[submodule "evil"]\n\tpath = evil\n\turl = /\n\tupdate = !{hostile.payload("update")}\n'
    )

    _, diff = await hostile.record()

    assert _paths(diff) == [".gitmodules"]
    assert hostile.executed() == []


async def test_submodules_of_the_base_stay_as_they_are(tmp_path: Path) -> None:
    """A gitlink of the repository itself is kept, whatever the agent put in its place."""
    origin = small_repo(tmp_path / "origin" / "r.git")
    first = git("rev-parse", "HEAD", cwd=origin.copy)
    git("update-index", "--add", "--cacheinfo", f"160000,{first},sub", cwd=origin.copy)
    (origin.copy / "sub").mkdir()
    git("commit", "-q", "-m", "submodule", cwd=origin.copy)
    git("push", "-q", "origin", "HEAD", cwd=origin.copy)
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)
    workspace, repo = await home.open(mirror, "claim1")
    git("clone", "-q", str(origin.path), "sub", cwd=workspace.tree)
    (workspace.tree / "other.txt").write_text("x")

    snapshot = await repo.snapshot(workspace.tree, base=mirror.commit, claim="claim1")
    diff = await repo.diff(mirror.commit, snapshot.commit)

    assert _paths(diff) == ["other.txt"]


async def test_links_are_recorded_as_links(hostile: Hostile, tmp_path: Path) -> None:
    """What a link points to is never read, nor what is behind a directory that became a link."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "app.py").write_text("secret of the host\n")
    (hostile.tree / "passwd").symlink_to("/etc/passwd")
    (hostile.tree / "loop").symlink_to(".")
    for path in (hostile.tree / "src").iterdir():
        path.unlink()
    (hostile.tree / "src").rmdir()
    (hostile.tree / "src").symlink_to(outside)

    _, diff = await hostile.record()

    assert b"secret of the host" not in diff.patch
    assert b"root:" not in diff.patch
    assert {(file.path, file.status) for file in diff.files} == {
        ("passwd", FileStatus.ADDED),
        ("loop", FileStatus.ADDED),
        ("src", FileStatus.ADDED),
        ("src/app.py", FileStatus.DELETED),
        ("src/util.py", FileStatus.DELETED),
    }


async def test_odd_names_are_recorded_and_survive_the_patch(hostile: Hostile) -> None:
    """Line ends, quotes, bytes that are no UTF-8, options and case collisions are only names."""
    names = [b"a\nb", b"c\rd", b'"quoted"', b"\xff\xfe", b"-rf", b"Case", b"case", b" lead", b"\\x"]
    folder = os.fsencode(hostile.tree)
    for number, name in enumerate(names):
        with open(os.path.join(folder, name), "w") as file:  # noqa: ASYNC230 - a tiny file
            file.write(f"{number}\n")

    snapshot, diff = await hostile.record()
    rebuilt = await hostile.repo.apply_patch(diff.patch, base=hostile.base, claim="claim1")

    assert snapshot.complete
    assert len(diff.files) == len(names)
    assert rebuilt.commit == snapshot.commit


async def test_names_git_refuses_are_left_out_and_said(hostile: Hostile) -> None:
    """A path that would be a `.git` on other systems is not recorded; the rest is."""
    (hostile.tree / ".GIT").mkdir()
    (hostile.tree / ".GIT" / "config").write_text("[core]\n")
    (hostile.tree / "good.txt").write_text("good\n")

    snapshot = await hostile.repo.snapshot(hostile.tree, base=hostile.base, claim="claim1")
    diff = await hostile.repo.diff(hostile.base, snapshot.commit)

    assert _paths(diff) == ["good.txt"]
    assert not snapshot.complete


async def test_encodings_and_filters_of_the_tree_are_ignored(hostile: Hostile) -> None:
    """Attributes cannot make git fail or change what is recorded."""
    (hostile.tree / ".gitattributes").write_text(
        "*.txt working-tree-encoding=UTF-16 ident\n* filter=lfs\n"
    )
    (hostile.tree / "bad.txt").write_bytes(b"\xff$Id$\xff")

    snapshot, _ = await hostile.record()

    assert snapshot.complete
    shown = git("cat-file", "-p", f"{snapshot.commit}:bad.txt", cwd=hostile.repo.path)
    assert shown.encode(errors="surrogateescape") == b"\xff$Id$\xff"


async def test_a_tree_of_many_and_deep_files_is_recorded(hostile: Hostile) -> None:
    """Thousands of files and directories nested beyond a path's length end in a snapshot."""
    many = hostile.tree / "many"
    for folder in range(20):
        (many / str(folder)).mkdir(parents=True)
        for file in range(50):
            (many / str(folder) / str(file)).write_text(f"{folder}/{file}\n")
    descriptor = os.open(hostile.tree, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("deep" * 50, dir_fd=descriptor)
        inner = os.open("deep" * 50, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)

    _, diff = await hostile.record()

    assert diff.changes.files_created == 1000


async def test_a_repository_destroyed_by_the_agent_changes_nothing(hostile: Hostile) -> None:
    """Without its `.git`, or with history rewritten, the work is what the tree says."""
    (hostile.tree / "README.md").write_text("mine\n")
    git("checkout", "-q", "--orphan", "new", cwd=hostile.tree)
    git("commit", "-q", "-am", "all new", cwd=hostile.tree)
    git("branch", "-D", "main", cwd=hostile.tree)
    _, committed = await hostile.record()
    (hostile.tree / ".git").rename(hostile.tree / "src" / ".git")

    _, destroyed = await hostile.record()

    assert _paths(committed) == _paths(destroyed) == ["README.md"]
