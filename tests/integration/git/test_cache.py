"""Mirrors: what a name stands for, who may use one, and what killed processes leave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from internal.git.failure import AuthFailed, CloneFailed, GitFailed, RepoNotFound
from internal.git.lock import file_lock
from internal.git.remote import parse_remote
from tests.support.git_home import GitHome, git_home
from tests.support.git_http import GitHttpServer, git_http_server
from tests.support.repos import Repo, git, small_repo

TOKEN = "canary-4e1d-token"  # noqa: S105 - made for this test


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    return small_repo(tmp_path / "origin" / "r.git")


@pytest.fixture
def home(tmp_path: Path) -> GitHome:
    return git_home(tmp_path / "home")


@pytest.fixture
def server(origin: Repo) -> Iterator[GitHttpServer]:
    with git_http_server(origin.path.parent, token=TOKEN) as server:
        yield server


async def test_without_a_target_the_head_of_the_remote_is_taken(
    home: GitHome, origin: Repo
) -> None:
    """HEAD stands for its branch, with the branch's name."""
    commit = git("rev-parse", "HEAD", cwd=origin.copy)

    mirror = await home.mirror(origin.url)

    assert (mirror.commit, mirror.branch) == (commit, "main")


async def test_a_target_is_a_branch_before_a_tag_before_a_commit(
    home: GitHome, origin: Repo
) -> None:
    """Each kind of name gives its commit; only a branch gives a branch."""
    first = git("rev-parse", "HEAD", cwd=origin.copy)
    origin.tag("v1")
    origin.tag("v2", annotated=True)
    topic = origin.commit({"a": "1"}, branch="topic/a")
    git("branch", "v1", topic, cwd=origin.copy)
    git("push", "-q", "origin", "refs/heads/v1", cwd=origin.copy)

    found = {
        name: await home.mirror(origin.url, target=name)
        for name in ("topic/a", "v1", "v2", first, first[:8])
    }

    assert {name: (m.commit, m.branch) for name, m in found.items()} == {
        "topic/a": (topic, "topic/a"),
        "v1": (topic, "v1"),
        "v2": (first, None),
        first: (first, None),
        first[:8]: (first, None),
    }


async def test_new_commits_are_fetched_into_the_same_mirror(home: GitHome, origin: Repo) -> None:
    """A mirror is made once; later only what is new comes, also over a branch in its way."""
    old = await home.mirror(origin.url)
    origin.commit({"b": "2"}, branch="topic")
    await home.mirror(origin.url, target="topic")
    git("push", "-q", "origin", ":topic", cwd=origin.copy)
    git("branch", "-m", "topic", "topic/b", cwd=origin.copy)
    new = origin.commit({"b": "3"})

    mirror = await home.mirror(origin.url, target="topic/b")

    assert mirror.path == old.path
    assert mirror.commit == new


async def test_a_commit_no_branch_reaches_is_asked_for_by_its_id(
    home: GitHome, origin: Repo
) -> None:
    """Where the server gives out single commits, a full id is enough."""
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=origin.path)
    hidden = origin.commit({"h": "1"}, branch="hidden")
    git("push", "-q", "origin", ":hidden", cwd=origin.copy)

    mirror = await home.mirror(origin.url, target=hidden)

    assert mirror.commit == hidden


@pytest.mark.parametrize("target", ["nowhere", "0123456", "0" * 40])
async def test_an_unknown_name_is_not_found(home: GitHome, origin: Repo, target: str) -> None:
    """No branch, tag or commit of that name: the failure says so, not that cloning failed."""
    with pytest.raises(RepoNotFound):
        await home.mirror(origin.url, target=target)


async def test_an_unknown_repository_is_not_found(home: GitHome, tmp_path: Path) -> None:
    """A repository that is not there leaves no mirror either."""
    with pytest.raises(RepoNotFound):
        await home.mirror(f"file://{tmp_path}/nothing.git")

    assert not list(home.layout.mirrors.glob("*.git"))


async def test_an_empty_repository_has_nothing_to_start_from(home: GitHome, tmp_path: Path) -> None:
    """A repository without a commit is said to be empty."""
    with pytest.raises(RepoNotFound, match="empty"):
        await home.mirror(Repo(tmp_path / "empty.git").url)


async def test_the_right_token_opens_the_repository(
    home: GitHome, server: GitHttpServer, origin: Repo
) -> None:
    """A token is the password of the HTTP request."""
    mirror = await home.mirror(server.url("r.git"), token=TOKEN)

    assert mirror.commit == git("rev-parse", "HEAD", cwd=origin.copy)


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_a_mirror_in_the_cache_grants_no_access(
    home: GitHome, server: GitHttpServer, token: str | None
) -> None:
    """
    Whoever cannot read the repository gets nothing, although another fetched all of it before.
    """
    mirror = await home.mirror(server.url("r.git"), token=TOKEN)

    for target in (None, "main", mirror.commit):
        with pytest.raises(AuthFailed):
            await home.mirror(server.url("r.git"), token=token, target=target)


async def test_a_token_is_in_no_argument_no_file_and_no_error(
    home: GitHome, server: GitHttpServer, tmp_path: Path
) -> None:
    """While git runs, no process shows the token in its arguments; afterwards no file holds it."""
    seen: list[bytes] = []

    async def watch() -> None:
        while True:
            seen.extend(_git_command_lines())
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await home.mirror(server.url("r.git"), token=TOKEN)
    server.status = 404
    with pytest.raises(RepoNotFound) as missing:
        await home.mirror(server.url("r.git"), token=TOKEN)
    watching.cancel()

    assert any(b"fetch" in line for line in seen)
    assert not any(TOKEN.encode() in line for line in seen)
    assert TOKEN not in missing.value.message
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        (503, "clone_failed", True),
        (404, "repo_not_found", False),
        (403, "auth_failed", False),
        (302, "clone_failed", False),
    ],
)
async def test_an_answer_of_the_server_becomes_a_reason(
    home: GitHome, server: GitHttpServer, status: int, reason: str, retryable: bool
) -> None:
    """Faults of the server may pass; refusals do not, and no redirect is followed."""
    server.status = status

    with pytest.raises(GitFailed) as failed:
        await home.mirror(server.url("r.git"), token=TOKEN)

    assert (failed.value.error_code, failed.value.retryable) == (reason, retryable)


async def test_nobody_listening_may_pass(home: GitHome) -> None:
    """A refused connection is worth another try."""
    with pytest.raises(CloneFailed) as failed:
        await home.mirror("http://127.0.0.1:1/o/r")

    assert failed.value.retryable


async def test_a_held_commit_outlives_its_branch(home: GitHome, origin: Repo) -> None:
    """What a task started from stays in the mirror until it is released, and needs no remote."""
    remote = parse_remote(origin.url)
    mirror = await home.mirror(origin.url)
    await home.mirrors.hold(mirror, "task1")
    git("commit", "-q", "--amend", "-m", "Rewritten", cwd=origin.copy)
    origin.commit({"c": "1"})
    await home.mirror(origin.url)

    held = await home.mirrors.find_held(remote, "task1")
    await home.mirrors.release(mirror.path, "task1")
    await home.mirrors.release(mirror.path, "task1")

    assert held is not None
    assert (held.commit, held.branch) == (mirror.commit, "main")
    assert await home.mirrors.find_held(remote, "task1") is None


def _git_command_lines() -> list[bytes]:
    found: list[bytes] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return [line for line in found if b"git" in line]


_ENSURE = """
import asyncio, sys
from pathlib import Path
from tests.support.git_home import git_home

async def main() -> None:
    home = git_home(Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    mirror = await home.mirror(sys.argv[2])
    print(mirror.commit, flush=True)

asyncio.run(main())
"""


def _start(root: Path, url: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _ENSURE, str(root), url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not fact():  # noqa: ASYNC110 - the fact lies in another process
            await asyncio.sleep(0.01)


async def test_two_processes_make_one_mirror(tmp_path: Path, origin: Repo) -> None:
    """Workers that want one repository at the same time share one fetch and get the same."""
    processes = [_start(tmp_path / "home", origin.url) for _ in range(2)]

    answers = await asyncio.gather(
        *(asyncio.to_thread(process.communicate, "go\n", 60) for process in processes)
    )

    commit = git("rev-parse", "HEAD", cwd=origin.copy)
    assert [out for out, _ in answers] == [f"{commit}\n"] * 2
    assert len(list((tmp_path / "home/data/git/mirrors").glob("*.git"))) == 1


async def test_promise_2_a_process_killed_while_making_a_mirror_leaves_nothing(
    tmp_path: Path, origin: Repo
) -> None:
    """After kill -9 in the middle of the first fetch the next one makes a whole mirror."""
    home = git_home(tmp_path / "home")
    mirrors = home.layout.mirrors
    with git_http_server(origin.path.parent) as server:
        server.packs_may_go.clear()
        process = _start(tmp_path / "home", server.url("r.git"))
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        await until(lambda: any(mirrors.glob("*.making-*")) and len(server.requests) >= 5)
        process.kill()
        process.communicate(timeout=30)
        left = list(mirrors.glob("*.making-*"))
        server.packs_may_go.set()

        mirror = await home.mirror(server.url("r.git"))

    assert left
    git("fsck", "--full", cwd=mirror.path)
    assert not list(mirrors.glob("*.making-*"))


async def test_locks_left_by_a_killed_fetch_are_removed(home: GitHome, origin: Repo) -> None:
    """Git's own lock files of a process that is gone do not block the mirror for ever."""
    mirror = await home.mirror(origin.url)
    new = origin.commit({"d": "1"})
    for left in ("packed-refs.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_x"):
        (mirror.path / left).touch()

    again = await home.mirror(origin.url)

    assert again.commit == new
    assert not list(mirror.path.rglob("*.lock"))
    assert not list(mirror.path.glob("objects/pack/tmp_*"))


async def test_nobody_waits_for_another_tasks_fetch_without_need(
    home: GitHome, origin: Repo
) -> None:
    """While a mirror is being fetched, tasks whose commit is there already start and end."""
    mirror = await home.mirror(origin.url)
    async with file_lock(mirror.path.with_suffix(".lock"), timeout_seconds=1):
        again = await home.mirror(origin.url)
        await home.mirrors.hold(again, "task1")
        await home.mirrors.hold(again, "task1")
        held = await home.mirrors.find_held(parse_remote(origin.url), "task1")
        await home.mirrors.release(mirror.path, "task1")

    assert held is not None
    assert await home.mirrors.find_held(parse_remote(origin.url), "task1") is None


async def test_a_fetch_that_is_waited_for_too_long_may_be_tried_again(
    tmp_path: Path, origin: Repo
) -> None:
    """The wait for another task's fetch has a limit, and then the task gives its slot back."""
    home = git_home(tmp_path / "home", lock_seconds=0.1)
    mirror = await home.mirror(origin.url)
    origin.commit({"new": "1"})

    async with file_lock(mirror.path.with_suffix(".lock"), timeout_seconds=1):
        with pytest.raises(CloneFailed) as failed:
            await home.mirror(origin.url)

    assert failed.value.retryable
