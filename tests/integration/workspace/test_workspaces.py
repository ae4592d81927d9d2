"""Workspaces: where a run starts, what is taken over, what is made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from internal.git.cache import Mirror
from internal.git.model import Snapshot
from internal.git.work import TrustedRepo
from internal.workspace.manager import Mode, OpenWorkspace, Run
from internal.workspace.trees import Trees
from tests.support.git_home import TENANT, GitHome, git_home
from tests.support.repos import Repo, git, small_repo


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    return small_repo(tmp_path / "origin" / "r.git")


@pytest.fixture(params=[False, True], ids=["copied", "borrowed"])
def home(tmp_path: Path, request: pytest.FixtureRequest) -> GitHome:
    return git_home(tmp_path / "home", borrow=request.param)


async def _worked(
    home: GitHome, mirror: Mirror, claim: str = "claim1"
) -> tuple[OpenWorkspace, TrustedRepo, Snapshot]:
    """A first run that changed, added and ignored files, kept and recorded."""
    workspace, repo = await home.open(mirror, claim)
    (workspace.tree / "README.md").write_text("changed\n")
    (workspace.tree / "new.txt").write_text("new\n")
    (workspace.tree / "build").mkdir()
    (workspace.tree / "build" / "cache.o").write_text("ignored\n")
    (workspace.home / "session.json").write_text(claim)
    snapshot = await repo.snapshot(workspace.tree, base=mirror.commit, claim=claim)
    await home.workspaces.keep(TENANT, "task1", claim)
    return workspace, repo, snapshot


async def test_a_first_run_gets_a_checkout_with_a_git_that_works(
    home: GitHome, origin: Repo
) -> None:
    """The agent finds its branch checked out, clean, and can commit without any setting."""
    mirror = await home.mirror(origin.url)

    workspace, _ = await home.open(mirror, "claim1")

    assert workspace.mode is Mode.CHECKOUT
    assert (workspace.commit, workspace.branch) == (mirror.commit, "main")
    assert git("status", "--porcelain", cwd=workspace.tree) == ""
    assert git("branch", "--show-current", cwd=workspace.tree) == "main"
    assert git("rev-parse", "HEAD", cwd=workspace.tree) == mirror.commit
    (workspace.tree / "x").write_text("x")
    git("add", "x", cwd=workspace.tree)
    git("commit", "-q", "-m", "x", cwd=workspace.tree)
    assert (workspace.tree / "run.sh").stat().st_mode & 0o111
    assert list(workspace.home.iterdir()) == []


async def test_a_tag_or_commit_is_checked_out_without_a_branch(home: GitHome, origin: Repo) -> None:
    """What is no branch is a detached HEAD."""
    origin.tag("v1")
    mirror = await home.mirror(origin.url, target="v1")

    workspace, _ = await home.open(mirror, "claim1")

    assert workspace.branch is None
    assert (workspace.tree / ".git" / "HEAD").read_text() == f"{mirror.commit}\n"
    assert git("status", "--porcelain", cwd=workspace.tree) == ""


async def test_a_checkout_holds_no_credential_and_pushes_nowhere(
    home: GitHome, origin: Repo
) -> None:
    """The agent's repository names where it comes from, and cannot publish by itself."""
    mirror = await home.mirror(origin.url)
    workspace, _ = await home.open(mirror, "claim1")
    git("commit", "-q", "--allow-empty", "-m", "mine", cwd=workspace.tree)

    with pytest.raises(AssertionError, match="codeforge-publishes-this-work"):
        git("push", "origin", "HEAD", cwd=workspace.tree)

    assert git("rev-parse", "main", cwd=origin.path) == mirror.commit


async def test_copied_objects_share_nothing_with_the_mirror(tmp_path: Path, origin: Repo) -> None:
    """Without isolation the agent's repository stands alone: destroying it hurts nobody."""
    home = git_home(tmp_path / "home", borrow=False)
    mirror = await home.mirror(origin.url)
    workspace, _ = await home.open(mirror, "claim1")

    linked = [
        path
        for path in (workspace.tree / ".git").rglob("*")
        if path.is_file() and path.stat().st_nlink > 1
    ]
    shutil.rmtree(mirror.path)

    assert not linked
    assert not (workspace.tree / ".git/objects/info/alternates").exists()
    git("fsck", "--full", cwd=workspace.tree)
    assert "hello" in git("show", "HEAD:src/app.py", cwd=workspace.tree)


async def test_a_ready_tree_is_moved_to_the_wanted_commit(home: GitHome, origin: Repo) -> None:
    """A tree made ahead at one commit serves any other: only the difference is written."""
    old = await home.mirror(origin.url)
    made = await home.spares.replenish(old)
    origin.commit({"src/app.py": "changed\n", "added/deep/x": "x"}, remove=["logo.bin"])
    new = await home.mirror(origin.url)

    workspace, _ = await home.open(new, "claim1")

    assert made == 2
    assert workspace.mode is Mode.SPARE
    assert git("rev-parse", "HEAD", cwd=workspace.tree) == new.commit
    assert git("status", "--porcelain", cwd=workspace.tree) == ""
    assert (workspace.tree / "added/deep/x").read_text() == "x"
    assert not (workspace.tree / "logo.bin").exists()
    git("fsck", cwd=workspace.tree)
    assert sorted(path.name for path in workspace.tree.parent.iterdir()) == ["home", "tree", "used"]


async def test_a_ready_tree_serves_a_tag_of_the_past(home: GitHome, origin: Repo) -> None:
    """A ready tree can go back too, and loses its branch."""
    origin.tag("v1")
    first = await home.mirror(origin.url, target="v1")
    origin.commit({"later.txt": "later"})
    await home.spares.replenish(await home.mirror(origin.url))

    workspace, _ = await home.open(first, "claim1")

    assert (workspace.mode, workspace.branch) == (Mode.SPARE, None)
    assert git("rev-parse", "HEAD", cwd=workspace.tree) == first.commit
    assert git("for-each-ref", cwd=workspace.tree) == ""
    assert git("status", "--porcelain", cwd=workspace.tree) == ""
    assert not (workspace.tree / "later.txt").exists()


async def test_the_directory_of_the_recorded_work_is_taken_over(
    home: GitHome, origin: Repo
) -> None:
    """
    A follow-up goes on in the same directory, with its ignored files, on a copy of the session.
    """
    mirror = await home.mirror(origin.url)
    before, repo, snapshot = await _worked(home, mirror)

    workspace, _ = await home.open(mirror, "claim2", start=snapshot.commit, previous="claim1")
    (workspace.home / "session.json").write_text("claim2")

    assert workspace.mode is Mode.REUSED
    assert not before.tree.exists()
    assert (workspace.tree / "build" / "cache.o").read_text() == "ignored\n"
    assert workspace.has_session
    assert home.sessions.path(TENANT, "task1", "claim1").joinpath("session.json").read_text() == (
        "claim1"
    )
    again = await repo.snapshot(workspace.tree, base=mirror.commit, claim="claim2")
    assert (await repo.diff(snapshot.commit, again.commit)).patch == b""


@pytest.mark.parametrize("tampering", ["changed", "added", "removed", "gone", "link"])
async def test_a_directory_that_is_not_the_recorded_work_is_not_taken_over(
    home: GitHome, origin: Repo, tmp_path: Path, tampering: str
) -> None:
    """What changed after the snapshot never reaches the next run: the tree is made anew."""
    mirror = await home.mirror(origin.url)
    before, _, snapshot = await _worked(home, mirror)
    match tampering:
        case "changed":
            (before.tree / "new.txt").write_text("bad\n")
        case "added":
            (before.tree / "zombie.txt").write_text("bad\n")
        case "removed":
            (before.tree / "README.md").unlink()
        case "gone":
            shutil.rmtree(before.tree)
        case _:
            before.tree.rename(tmp_path / "elsewhere")
            before.tree.symlink_to(tmp_path / "elsewhere")

    workspace, _ = await home.open(mirror, "claim2", start=snapshot.commit, previous="claim1")

    assert workspace.mode is Mode.CHECKOUT
    assert workspace.tree.is_dir()
    assert not workspace.tree.is_symlink()
    assert (workspace.tree / "new.txt").read_text() == "new\n"
    assert (workspace.tree / "README.md").read_text() == "changed\n"
    assert not (workspace.tree / "zombie.txt").exists()
    assert git("status", "--porcelain", cwd=workspace.tree).splitlines() == [
        " M README.md",
        "?? new.txt",
    ]
    assert workspace.has_session


async def test_a_ready_tree_serves_a_follow_up_too(home: GitHome, origin: Repo) -> None:
    """A follow-up whose directory is gone starts from a ready tree moved to the recorded work."""
    mirror = await home.mirror(origin.url)
    _, _, snapshot = await _worked(home, mirror)
    await home.workspaces.drop(TENANT, "task1", "claim1")
    await home.spares.replenish(mirror)

    workspace, _ = await home.open(mirror, "claim2", start=snapshot.commit, previous="claim1")

    assert workspace.mode is Mode.SPARE
    assert (workspace.tree / "new.txt").read_text() == "new\n"
    assert git("rev-parse", "HEAD", cwd=workspace.tree) == mirror.commit


async def test_work_goes_on_from_its_patch_on_another_home(
    home: GitHome, origin: Repo, tmp_path: Path
) -> None:
    """Another home rebuilds the recorded commit, by its id, from base and patch alone."""
    mirror = await home.mirror(origin.url)
    workspace, repo, _ = await _worked(home, mirror)
    (workspace.tree / "logo.bin").write_bytes(bytes(reversed(range(256))))
    (workspace.tree / "src/util.py").rename(workspace.tree / "src/values.py")
    (workspace.tree / "run.sh").chmod(0o644)
    (workspace.tree / "link").symlink_to("README.md")
    snapshot = await repo.snapshot(workspace.tree, base=mirror.commit, claim="claim1")
    diff = await repo.diff(mirror.commit, snapshot.commit)

    other = git_home(tmp_path / "other")
    base = await other.mirror(origin.url, target=mirror.commit)
    there = await other.works.open(TENANT, "task1", base)
    rebuilt = await there.apply_patch(diff.patch, base=base.commit, claim="claim1")
    moved, _ = await other.open(base, "claim2", start=rebuilt.commit, previous="claim1")

    assert rebuilt.commit == snapshot.commit
    assert not moved.has_session
    assert (moved.tree / "logo.bin").read_bytes() == bytes(reversed(range(256)))
    assert (moved.tree / "link").readlink() == Path("README.md")
    assert not (moved.tree / "src/util.py").exists()
    assert not (moved.tree / "run.sh").stat().st_mode & 0o111


async def test_erasing_a_task_leaves_nothing_of_it(home: GitHome, origin: Repo) -> None:
    """Workspace, session, recorded work and the held commit go; other tasks stay."""
    mirror = await home.mirror(origin.url)
    await _worked(home, mirror)
    other, _ = await home.open(mirror, "claim9", task="task2")

    for store in (home.workspaces, home.sessions, home.works):
        await store.erase(TENANT, "task1")
        await store.erase(TENANT, "task1")

    left = [path for path in home.layout.data_dir.rglob("*") if "task1" in path.name]
    assert not left
    assert not home.layout.task("task1").exists()
    assert git("for-each-ref", "--format=%(refname)", "refs/keep", cwd=mirror.path) == (
        "refs/keep/task2"
    )
    assert other.tree.is_dir()


class _RemovesMeanwhile:
    """Recorded work whose directory goes between the comparison and what follows it."""

    def __init__(self, home: GitHome, repo: TrustedRepo) -> None:
        self._home = home
        self._repo = repo

    @property
    def checkout(self) -> Trees:
        return self._repo.checkout

    def index(self, claim: str) -> Path:
        return self._repo.index(claim)

    async def equals(self, tree: Path, *, claim: str, commit: str) -> bool:
        found = await self._repo.equals(tree, claim=claim, commit=commit)
        await self._home.workspaces.drop(TENANT, "task1", claim)
        return found


async def test_a_directory_that_goes_while_it_is_compared_is_not_taken_over(
    tmp_path: Path, origin: Repo
) -> None:
    """Room was made, or somebody removed it: the run starts from what was recorded all the same."""
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)
    workspace, repo, snapshot = await _worked(home, mirror)
    run = Run(
        tenant=TENANT,
        task="task1",
        claim="claim2",
        base=mirror.commit,
        branch=mirror.branch,
        start=snapshot.commit,
        previous="claim1",
    )

    second = await home.workspaces.open(run, source=mirror, records=_RemovesMeanwhile(home, repo))

    assert second.mode is Mode.CHECKOUT
    assert (second.tree / "new.txt").read_text() == "new\n"
    assert (second.home / "session.json").read_text() == "claim1"
    assert not workspace.tree.exists()


async def test_a_workspace_keeps_its_time_of_creation(tmp_path: Path, origin: Repo) -> None:
    """A follow-up uses it; it does not make it young."""
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)
    _, _, snapshot = await _worked(home, mirror)
    before = (await home.workspaces.list())[TENANT, "task1"]

    await home.open(mirror, "claim2", start=snapshot.commit, previous="claim1")
    after = (await home.workspaces.list())[TENANT, "task1"]

    assert after.created_at == before.created_at
    assert after.claims["claim2"] >= before.claims["claim1"] >= int(before.created_at)
