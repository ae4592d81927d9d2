"""A commit of recorded work, looked through and pushed, by real git to real repositories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from internal.errors import Invalid
from internal.git.cli import Access
from internal.git.push import PushFailed, PushRejected
from internal.git.remote import parse_remote
from internal.git.work import TrustedRepo
from internal.worker.leaks import check_secrets
from tests.support.forge import Forge, open_forge
from tests.support.git_home import GitHome, git_home
from tests.support.hosts.double import TOKEN
from tests.support.repos import git

_BRANCH = "codeforge/x"
_TOKEN_SHAPE = "ghp_" + "aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW1xY2"  # made up


class Desk:
    """A task's repository beside a forge."""

    def __init__(self, home: GitHome, forge: Forge, repo: TrustedRepo, access: Access) -> None:
        self.home, self.forge, self.repo, self.access = home, forge, repo, access

    async def push(self, commit: str, *ours: str) -> None:
        await self.repo.push(self.access, commit=commit, branch=_BRANCH, ours=ours)

    def commits(self) -> list[str]:
        """Three commits in a row, which the repository of the task has too."""
        log = git("rev-list", "--reverse", "trunk", cwd=self.forge.repo.path)
        return log.splitlines()


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    with open_forge(tmp_path / "forge") as forge:
        for number in range(2):
            forge.repo.commit({"n": str(number)})
        yield forge


@pytest.fixture
async def desk(tmp_path: Path, forge: Forge) -> Desk:
    home = git_home(tmp_path)
    remote = parse_remote(forge.url)
    mirror = await home.mirrors.ensure(remote, token=TOKEN, target=None)
    repo = await home.works.open("default", "t1", mirror)
    return Desk(home, forge, repo, await home.mirrors.access(remote, token=TOKEN))


async def test_a_branch_is_made_moved_and_left_alone(desk: Desk) -> None:
    """Absent, at a commit of ours, at the wanted commit: each push ends in success."""
    first, second, third = desk.commits()

    await desk.push(second)
    await desk.push(second)
    await desk.push(third, second)
    await desk.push(first, third)  # a rebuilt commit need not be a descendant

    assert desk.forge.heads()[_BRANCH] == first


async def test_fault_a15_a_branch_of_somebody_else_is_not_moved(desk: Desk) -> None:
    """Neither when it was there before nor when it was moved since."""
    first, second, third = desk.commits()
    await desk.push(second)

    for ours in ((), (first,)):
        with pytest.raises(PushRejected):
            await desk.push(third, *ours)

    assert desk.forge.heads()[_BRANCH] == second


async def test_a_push_that_lost_its_lease_is_rejected(desk: Desk) -> None:
    """Somebody else moved the branch between our question and our push."""
    first, second, third = desk.commits()
    await desk.push(first)
    hook = desk.forge.repo.path / "hooks" / "reference-transaction"
    hook.write_text(
        f"#!/bin/sh\n[ $1 = prepared ] || exit 0\n[ -e moved ] && exit 0\n"
        f"touch moved\necho {second} > refs/heads/{_BRANCH}\nexit 1\n"
    )
    hook.chmod(0o755)

    with pytest.raises((PushRejected, PushFailed)):
        await desk.push(third, first)

    assert desk.forge.heads()[_BRANCH] == second
    with pytest.raises(PushRejected):
        await desk.push(third, first)


async def test_a_refusal_of_the_remote_is_told_in_its_words(desk: Desk) -> None:
    """A hook, a wrong token, a repository that is gone: PushFailed, and no token in it."""
    commit = desk.commits()[0]
    desk.forge.refuse_pushes("never")
    with pytest.raises(PushFailed, match="pre-receive hook declined"):
        await desk.push(commit)
    remote = parse_remote(desk.forge.url)
    wrong = await desk.home.mirrors.access(remote, token="wrong-token-0123")  # noqa: S106

    with pytest.raises(PushFailed) as refused:
        await desk.repo.push(wrong, commit=commit, branch=_BRANCH, ours=())

    assert "wrong-token-0123" not in refused.value.message
    assert _BRANCH not in desk.forge.heads()


async def test_only_new_secrets_are_refused(desk: Desk) -> None:
    """What the file had before is not ours; a token that comes in is, however it is spelled."""
    repo = desk.forge.repo
    before = repo.commit({"old.txt": f"token = {_TOKEN_SHAPE}\n", "plain.txt": "a\n"})
    same = repo.commit({"old.txt": f"token = {_TOKEN_SHAPE}\nmore\n"})
    moved = repo.commit({"new.txt": f"token = {_TOKEN_SHAPE}\nmore\n"}, remove=["old.txt"])
    shaped = repo.commit({"plain.txt": f"x {_TOKEN_SHAPE}"})
    known = repo.commit({"plain.txt": "YS1vd24tc2VjcmV0 = a%20own%20secret"})
    await desk.home.mirrors.ensure(parse_remote(desk.forge.url), token=TOKEN, target=None)

    async def look(base: str, head: str) -> None:
        reader = desk.repo.changes
        changes = await reader.list(base, head)
        ids = [c.new for c in changes if c.has_content] + [c.old for c in changes if c.had_content]
        await check_secrets(reader, changes, await reader.sizes(ids), known=["a own secret"])

    await look(before, same)
    await look(same, moved)
    for base, head in ((moved, shaped), (shaped, known)):
        with pytest.raises(Invalid, match=r"plain\.txt") as refused:
            await look(base, head)
        assert refused.value.error_code == "secret_in_diff"
        assert _TOKEN_SHAPE not in refused.value.message


@pytest.mark.parametrize(
    "harmless",
    [
        "ghp_" + "x" * 36,
        "AKIAIOSFODNN7EXAMPLE",
        "sk-a-long-name-of-a-css-class-that-goes-on-and-on-and-on",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    ],
)
async def test_placeholders_are_no_secrets(desk: Desk, harmless: str) -> None:
    """A word too many would refuse somebody's work."""
    base = desk.commits()[-1]
    head = desk.forge.repo.commit({"docs.md": harmless})
    await desk.home.mirrors.ensure(parse_remote(desk.forge.url), token=TOKEN, target=None)
    changes = await desk.repo.changes.list(base, head)

    await check_secrets(
        desk.repo.changes,
        changes,
        await desk.repo.changes.sizes(change.new for change in changes),
        known=[],
    )
