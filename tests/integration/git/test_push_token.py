"""A push over HTTP with a token: it opens the remote, and is to be seen nowhere else."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from internal.git.cli import Place
from internal.git.push import PushFailed, push_branch
from internal.git.remote import parse_remote
from tests.support.git_home import GitHome, git_home
from tests.support.git_http import GitHttpServer, git_http_server
from tests.support.repos import Repo, git, small_repo
from tests.support.waiting import until

_BRANCH = "codeforge/1"
# Ends by itself after a minute, whatever becomes of the test.
_HOLD = """#!/bin/sh
touch started
for turn in $(seq 600); do [ -e go ] && exit 0; sleep 0.1; done
exit 1
"""


@pytest.fixture
def token() -> str:
    """One of its own for each test, so that other processes of a run have another."""
    return f"canary-token-{secrets.token_hex(8)}"


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    return small_repo(tmp_path / "origin" / "r.git")


@pytest.fixture
def server(origin: Repo, token: str) -> Iterator[GitHttpServer]:
    with git_http_server(origin.path.parent, token=token) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> GitHome:
    return git_home(tmp_path / "home")


async def _push(home: GitHome, server: GitHttpServer, *, cloned: str, pushed: str | None) -> str:
    """Clone with one token and push what was cloned with another; the commit."""
    url = server.url("r.git")
    mirror = await home.mirror(url, token=cloned)
    access = await home.mirrors.access(parse_remote(url), token=pushed)
    await push_branch(
        home.git,
        Place(git_dir=mirror.path),
        access,
        commit=mirror.commit,
        branch=_BRANCH,
        ours=(),
    )
    return mirror.commit


async def test_a_token_lets_a_branch_be_pushed(
    home: GitHome, server: GitHttpServer, origin: Repo, token: str
) -> None:
    """It is the password of git's HTTP requests, for reading and for writing."""
    commit = await _push(home, server, cloned=token, pushed=token)

    assert git("rev-parse", _BRANCH, cwd=origin.path) == commit
    assert any("git-receive-pack" in request for request in server.requests)


async def test_the_token_of_a_push_is_in_no_argument_url_or_file(
    home: GitHome, server: GitHttpServer, origin: Repo, token: str, tmp_path: Path
) -> None:
    """The remote holds the push back while every process is looked at; the files afterwards."""
    _hook(origin, _HOLD)
    encoded = base64.b64encode(f"x-access-token:{token}".encode())
    lines: list[bytes] = []

    async def look() -> None:
        await until("the remote holds the push", (origin.path / "started").exists)
        lines.extend(_command_lines())
        (origin.path / "go").touch()

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        group.create_task(_push(home, server, cloned=token, pushed=token))

    files = _files(tmp_path)
    seen = [*lines, *(path.read_bytes() for path in files), *map(str.encode, server.requests)]
    assert any(b"git\0" in line and b"\0push\0" in line for line in lines)
    assert any(path.name == "config" for path in files)
    assert not [content for content in seen if token.encode() in content or encoded in content]


@pytest.mark.parametrize("given", [None, "wrong-token-0123456789"])
async def test_without_the_right_token_nothing_is_pushed(
    home: GitHome, server: GitHttpServer, origin: Repo, token: str, given: str | None
) -> None:
    """The error says that access was refused, and not what was tried."""
    with pytest.raises(PushFailed) as refused:
        await _push(home, server, cloned=token, pushed=given)

    assert git("branch", "--list", _BRANCH, cwd=origin.path) == ""
    assert "refused access or wants a token" in refused.value.message
    assert given is None or given not in refused.value.message


async def test_a_remote_that_repeats_the_token_is_not_quoted(
    home: GitHome, server: GitHttpServer, origin: Repo, token: str
) -> None:
    """Its words are shown, but for the token in them."""
    _hook(origin, f"#!/bin/sh\necho 'not with {token}' >&2\nexit 1\n")

    with pytest.raises(PushFailed) as refused:
        await _push(home, server, cloned=token, pushed=token)

    assert token not in refused.value.message


def _hook(origin: Repo, script: str) -> None:
    hook = origin.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(script)
    hook.chmod(0o755)


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def _command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()
