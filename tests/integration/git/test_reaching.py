"""How git reaches a remote: vetted addresses, and ssh without a question asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from internal.errors import PolicyDenied, Unavailable
from internal.git.cache import MirrorCache, Vet
from internal.git.cli import Git
from internal.git.credentials import SshFiles
from internal.git.failure import CloneFailed
from internal.git.remote import parse_remote
from tests.support.git_http import git_http_server
from tests.support.repos import Repo, git, small_repo


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    return small_repo(tmp_path / "origin" / "r.git")


def _cache(tmp_path: Path, vet: Vet, *, path: str = "", ssh: SshFiles | None = None) -> MirrorCache:
    environment = {"PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]}
    runner = Git(home=tmp_path / "git-home", environment=environment)
    return MirrorCache(tmp_path / "mirrors", runner, vet=vet, ssh=ssh or SshFiles())


async def test_git_dials_the_address_that_was_vetted(tmp_path: Path, origin: Repo) -> None:
    """The name is resolved once, by the vet: git reaches a host that no name server knows."""
    asked: list[tuple[str, int]] = []

    async def vet(host: str, port: int) -> str:
        asked.append((host, port))
        return "127.0.0.1"

    with git_http_server(origin.path.parent) as server:
        url = f"http://git.invalid:{server.port}/r.git"
        mirror = await _cache(tmp_path, vet).ensure(parse_remote(url), token=None, target=None)

    assert mirror.commit == git("rev-parse", "HEAD", cwd=origin.copy)
    assert asked == [("git.invalid", server.port)]


async def test_fault_a25_a_denied_address_is_never_dialled(tmp_path: Path, origin: Repo) -> None:
    """The refusal comes through as it is, before any byte was sent."""

    async def vet(host: str, _port: int) -> str:
        raise PolicyDenied(f"{host} is private; see egress.allow")

    with git_http_server(origin.path.parent) as server:
        remote = parse_remote(server.url("r.git"))
        with pytest.raises(PolicyDenied, match=r"egress\.allow"):
            await _cache(tmp_path, vet).ensure(remote, token=None, target=None)

        assert server.requests == []


async def test_a_name_that_is_not_resolved_may_be_tried_again(tmp_path: Path) -> None:
    """A name server's silence is a failed clone that may pass."""

    async def vet(host: str, _port: int) -> str:
        raise Unavailable(f"The name {host} could not be resolved.")

    remote = parse_remote("https://git.invalid/r")
    with pytest.raises(CloneFailed) as failed:
        await _cache(tmp_path, vet).ensure(remote, token=None, target=None)

    assert failed.value.retryable


_SSH = """#!/bin/sh
printf '%s\\n' "$@" > {seen}
for last; do :; done
exec sh -c "$last"
"""


async def test_ssh_asks_nobody_and_checks_the_host_under_its_own_name(
    tmp_path: Path, origin: Repo
) -> None:
    """Batch mode, the operator's files, the vetted address; the token stays out of it."""
    seen = tmp_path / "seen"
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(_SSH.format(seen=seen))
    (programs / "ssh").chmod(0o755)
    files = SshFiles(key_file=tmp_path / "key", known_hosts_file=tmp_path / "known hosts")

    async def vet(_host: str, _port: int) -> str:
        return "192.0.2.7"

    cache = _cache(tmp_path, vet, path=str(programs), ssh=files)
    remote = parse_remote(f"ssh://git@git.example:2222{origin.path}")
    mirror = await cache.ensure(remote, token="canary-token", target="main")  # noqa: S106 - made up

    options = seen.read_text().splitlines()
    assert mirror.branch == "main"
    for option in (
        "BatchMode=yes",
        "HostName=192.0.2.7",
        "HostKeyAlias=[git.example]:2222",
        "StrictHostKeyChecking=yes",
        f'UserKnownHostsFile="{tmp_path}/known hosts"',
        f"{tmp_path}/key",
        "git@git.example",
    ):
        assert option in options
    assert "canary-token" not in seen.read_text()
