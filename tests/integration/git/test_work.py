"""Recorded work: what counts as a change, and that the patch says all of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from internal.git.diff import DiffLimits
from internal.git.failure import GitFailed
from internal.git.model import Changes, Diff, FileDiff, FileStatus
from internal.git.work import TrustedRepo
from tests.support.git_home import TENANT, GitHome, git_home
from tests.support.repos import Repo, git, small_repo


class Work:
    """A workspace, and the worker's view of it."""

    def __init__(
        self, home: GitHome, origin: Repo, tree: Path, repo: TrustedRepo, base: str
    ) -> None:
        self.home = home
        self.origin = origin
        self.tree = tree
        self.repo = repo
        self.base = base

    async def diff(self, limits: DiffLimits | None = None) -> Diff:
        """Snapshot and diff; the patch must give the same tree in a plain clone with plain git."""
        snapshot = await self.repo.snapshot(self.tree, base=self.base, claim="claim1")
        diff = await self.repo.diff(self.base, snapshot.commit, limits=limits or DiffLimits())
        if not diff.truncated:
            self._check_patch(diff)
        return diff

    def _check_patch(self, diff: Diff) -> None:
        clone = self.tree.parent / "plain"
        git("clone", "-q", self.origin.url, str(clone), cwd=self.tree.parent)
        git("checkout", "-q", self.base, cwd=clone)
        if diff.patch:
            git("apply", "--index", "-", cwd=clone, stdin=diff.patch)
        theirs = git("write-tree", cwd=clone)
        ours = git("rev-parse", f"{diff.head}^{{tree}}", cwd=self.repo.path)
        assert theirs == ours


@pytest.fixture
async def work(tmp_path: Path) -> Work:
    origin = small_repo(tmp_path / "origin" / "r.git")
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)
    workspace, repo = await home.open(mirror, "claim1")
    return Work(home, origin, workspace.tree, repo, mirror.commit)


def _brief(diff: Diff) -> list[tuple[str, str, int, int]]:
    return [(file.path, file.status.value, file.additions, file.deletions) for file in diff.files]


async def test_nothing_changed_is_an_empty_diff(work: Work) -> None:
    """No file, no count, no patch."""
    diff = await work.diff()

    assert (diff.files, diff.patch, diff.truncated) == ((), b"", False)
    assert diff.changes == Changes()
    assert diff.changes.diff_stats == "+0 -0"


async def test_every_kind_of_change_is_counted(work: Work) -> None:
    """Modified, untracked, deleted; ignored files are no work."""
    (work.tree / "README.md").write_text("# Example\n\nChanged.\nTwice.\n")
    (work.tree / "new").mkdir()
    (work.tree / "new" / "a.txt").write_text("1\n2\n3\n")
    (work.tree / "new" / "empty").touch()
    (work.tree / "run.sh").unlink()
    (work.tree / "build").mkdir()
    (work.tree / "build" / "out").write_text("ignored\n")
    (work.tree / "debug.log").write_text("ignored\n")

    diff = await work.diff()

    assert _brief(diff) == [
        ("README.md", "modified", 2, 1),
        ("new/a.txt", "added", 3, 0),
        ("new/empty", "added", 0, 0),
        ("run.sh", "deleted", 0, 2),
    ]
    assert diff.changes == Changes(
        files_modified=1, files_created=2, files_deleted=1, insertions=5, deletions=3
    )
    assert diff.changes.diff_stats == "+5 -3"


async def test_a_tracked_file_that_is_ignored_still_counts(tmp_path: Path) -> None:
    """An ignore rule is about files nobody tracks."""
    origin = small_repo(tmp_path / "origin" / "r.git")
    origin.commit({"kept.log": "1\n"})
    home = git_home(tmp_path / "home")
    mirror = await home.mirror(origin.url)
    workspace, repo = await home.open(mirror, "claim1")
    (workspace.tree / "kept.log").write_text("2\n")

    snapshot = await repo.snapshot(workspace.tree, base=mirror.commit, claim="claim1")
    diff = await repo.diff(mirror.commit, snapshot.commit)

    assert _brief(diff) == [("kept.log", "modified", 1, 1)]


def _commit(work: Work) -> None:
    git("add", "-A", cwd=work.tree)
    git("commit", "-q", "-m", "mine", cwd=work.tree)


def _amend(work: Work) -> None:
    git("add", "-A", cwd=work.tree)
    git("commit", "-q", "--amend", "-m", "rewritten", cwd=work.tree)


def _other_branch(work: Work) -> None:
    git("checkout", "-q", "-b", "topic", cwd=work.tree)
    _commit(work)


def _stage(work: Work) -> None:
    git("add", "-A", cwd=work.tree)


@pytest.mark.parametrize("how", [_commit, _amend, _other_branch, _stage])
async def test_fault_a18_commits_of_the_agent_count(
    work: Work, how: Callable[[Work], None]
) -> None:
    """Committed, amended, on another branch or only staged: the change is the same."""
    (work.tree / "README.md").write_text("mine\n")
    (work.tree / "new.txt").write_text("new\n")

    how(work)
    (work.tree / "later.txt").write_text("later\n")
    diff = await work.diff()

    assert [file.path for file in diff.files] == ["README.md", "later.txt", "new.txt"]


async def test_a_rename_is_one_file(work: Work) -> None:
    """A moved file shows its old path, and counts as modified."""
    (work.tree / "src/util.py").rename(work.tree / "src/values.py")
    moved = work.tree / "src/values.py"
    moved.write_text(moved.read_text() + "LAST = 1\n")

    diff = await work.diff()

    (file,) = diff.files
    assert (file.path, file.old_path) == ("src/values.py", "src/util.py")
    assert (file.status, file.additions, file.deletions) == (FileStatus.RENAMED, 1, 0)
    assert diff.changes.files_modified == 1
    assert file.patch is not None
    assert "rename from src/util.py" in file.patch


async def test_a_binary_file_has_no_text_but_is_in_the_patch(work: Work) -> None:
    """Binary content is not shown; the patch carries it."""
    (work.tree / "logo.bin").write_bytes(bytes(range(255, -1, -1)))

    diff = await work.diff()

    (file,) = diff.files
    assert (file.binary, file.patch, file.additions) == (True, None, 0)
    assert b"GIT binary patch" in diff.patch


async def test_a_change_of_mode_or_kind_is_a_change(work: Work) -> None:
    """An executable bit counts; a file that becomes a link is one modified file."""
    (work.tree / "src/app.py").chmod(0o755)
    (work.tree / "README.md").unlink()
    (work.tree / "README.md").symlink_to("run.sh")
    (work.tree / "zz.txt").write_text("z\n")

    diff = await work.diff()

    files = {file.path: file for file in diff.files}
    assert {path: file.status for path, file in files.items()} == {
        "README.md": FileStatus.MODIFIED,
        "src/app.py": FileStatus.MODIFIED,
        "zz.txt": FileStatus.ADDED,
    }
    assert "new mode 100755" in (files["src/app.py"].patch or "")
    assert "new file mode 120000" in (files["README.md"].patch or "")
    assert "+z" in (files["zz.txt"].patch or "")


async def test_texts_end_at_their_limits_and_counts_do_not(work: Work) -> None:
    """A large file shows no text, a large patch is left out whole; both are still counted."""
    (work.tree / "large.txt").write_text("line\n" * 5000)
    (work.tree / "small.txt").write_text("small\n")

    cut = await work.diff(DiffLimits(max_file_bytes=10_000))
    no_patch = await work.diff(DiffLimits(max_patch_bytes=1_000))

    by_path: dict[str, FileDiff] = {file.path: file for file in cut.files}
    assert by_path["large.txt"].patch is None
    assert by_path["small.txt"].patch is not None
    assert not cut.truncated
    assert (no_patch.truncated, no_patch.patch) == (True, b"")
    assert cut.changes == no_patch.changes
    assert cut.changes.insertions == 5001


async def test_a_snapshot_can_be_taken_again(work: Work) -> None:
    """The same tree gives the same commit, so a repeated finish records the same work."""
    (work.tree / "new.txt").write_text("new\n")

    first = await work.repo.snapshot(work.tree, base=work.base, claim="claim1")
    again = await work.repo.snapshot(work.tree, base=work.base, claim="claim1")

    assert first == again
    assert git("rev-parse", "refs/claims/claim1", cwd=work.repo.path) == first.commit


async def test_a_dropped_claim_leaves_no_reference(work: Work) -> None:
    """What was not recorded is forgotten; dropping it twice is no error."""
    await work.repo.snapshot(work.tree, base=work.base, claim="claim1")

    await work.repo.drop("claim1")
    await work.repo.drop("claim1")

    assert git("for-each-ref", cwd=work.repo.path) == ""
    assert await work.home.works.list_claims() == {(TENANT, "task1"): frozenset()}


async def test_a_patch_of_another_base_is_refused(work: Work) -> None:
    """A patch that does not apply is no work, and nothing of it is recorded."""
    (work.tree / "README.md").write_text("mine\n")
    diff = await work.diff()
    other = work.origin.commit({"README.md": "theirs\n"})
    mirror = await work.home.mirror(work.origin.url)

    with pytest.raises(GitFailed):
        await work.repo.apply_patch(diff.patch, base=other, claim="claim2")

    assert mirror.commit == other
    assert "claim2" not in git("for-each-ref", cwd=work.repo.path)
    assert [path.name for path in (work.repo.path / "indexes").iterdir()] == ["claim1"]


async def test_a_workspace_that_is_gone_cannot_be_recorded(work: Work) -> None:
    """Without a tree there is no snapshot, and no empty one either."""
    (work.tree).rename(work.tree.with_name("moved"))

    with pytest.raises(GitFailed):
        await work.repo.snapshot(work.tree, base=work.base, claim="claim1")


async def test_a_commit_that_is_not_here_is_told(work: Work) -> None:
    """`has` answers for commits of the task and of its mirror, and for no others."""
    known: Callable[[str], Awaitable[bool]] = work.repo.has

    assert await known(work.base)
    assert not await known("0" * 40)
    with pytest.raises(GitFailed):
        await work.repo.diff(work.base, "0" * 40)
