"""The same against a real Gitea; see tests/support/hosts/real_gitea.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from internal.egress.client import HttpClient
from internal.errors import Invalid, NotFound
from internal.git.cli import Place
from internal.git.model import ProviderName, PullRequestState
from internal.git.provider import opening
from internal.git.provider.base import Provider, ProviderError
from internal.git.provider.catalog import check_token, provider_for
from internal.git.push import PushFailed, push_branch
from internal.git.remote import parse_remote
from tests.support.git_home import git_home
from tests.support.hosts.real_gitea import PROGRAM, Gitea, running_gitea
from tests.support.hosts.speaking import wanted

pytestmark = pytest.mark.skipif(not PROGRAM, reason="CODEFORGE_GITEA names no program")


@pytest.fixture(scope="module")
def gitea(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gitea]:
    with running_gitea(tmp_path_factory.mktemp("gitea")) as instance:
        yield instance


def _speak(gitea: Gitea, http: HttpClient, *, token: str | None = None) -> Provider:
    return provider_for(
        parse_remote(gitea.clone_url),
        domains={"127.0.0.1": "gitea"},
        base_url=None,
        token=token or gitea.token,
        http=http,
    )


async def test_a_real_gitea_keeps_one_pull_request_per_branch(
    gitea: Gitea, http: HttpClient
) -> None:
    """Opened as a draft, moved to another target, read, closed; found behind small pages."""
    for name in ("codeforge/1", "release", *(f"topic/{number}" for number in range(5))):
        gitea.branch(name)
    provider = _speak(gitea, http)
    opened = await provider.open_pull_request(
        wanted(draft=True, labels=("bug", "security", "none"), reviewers=("ann", "ghost"))
    )
    for number in range(5):
        await provider.open_pull_request(wanted(head=f"topic/{number}"))

    again = await _speak(gitea, http).open_pull_request(wanted(title="Again", base="release"))

    pull = cast("dict[str, Any]", gitea.call("GET", f"/repos/octo/hello/pulls/{opened.number}"))
    assert (again.number, again.updated) == (opened.number, True)
    assert (pull["title"], pull["base"]["ref"], pull["draft"]) == ("WIP: Again", "release", True)
    assert {label["name"] for label in pull["labels"]} == {"bug", "security"}
    assert [user["login"] for user in pull["requested_reviewers"]] == ["ann"]
    assert [warning.split(":")[0] for warning in opened.warnings] == [
        "label none",
        "reviewer ghost",
    ]
    gitea.call("PATCH", f"/repos/octo/hello/pulls/{opened.number}", {"state": "closed"})
    assert (await provider.read(opened.number)).state is PullRequestState.CLOSED
    assert await provider.find("codeforge/1") is None


async def test_a_real_gitea_refuses_as_its_double_does(
    gitea: Gitea, http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch that is not there, a number nobody has, a wrong token."""
    monkeypatch.setattr(opening, "PAUSES_SECONDS", (0,))
    provider, stranger = _speak(gitea, http), _speak(gitea, http, token="x" * 40)

    with pytest.raises(Invalid):
        await provider.open_pull_request(wanted(head="nowhere"))
    with pytest.raises(NotFound):
        await provider.read(999)
    with pytest.raises(ProviderError, match="wants a valid token"):
        await stranger.default_branch()
    assert await provider.default_branch() == "trunk"
    base_url = f"http://127.0.0.1:{gitea.port}"
    name = ProviderName.GITEA
    good = await check_token(name, base_url=base_url, token=gitea.token, http=http)
    bad = await check_token(name, base_url=base_url, token="x" * 40, http=http)
    assert good.login == "boss"
    assert not bad.ok


async def test_a_real_gitea_takes_a_push_with_a_token(gitea: Gitea, tmp_path: Path) -> None:
    """The repository is private; a wrong token pushes nothing."""
    home, remote = git_home(tmp_path), parse_remote(gitea.clone_url)
    mirror = await home.mirror(gitea.clone_url, token=gitea.token)

    async def push(branch: str, token: str) -> None:
        access = await home.mirrors.access(remote, token=token)
        place = Place(git_dir=mirror.path)
        await push_branch(home.git, place, access, commit=mirror.commit, branch=branch, ours=())

    await push("codeforge/pushed", gitea.token)

    assert gitea.call("GET", "/repos/octo/hello/branches/codeforge%2Fpushed")
    with pytest.raises(PushFailed, match="refused access or wants a token"):
        await push("codeforge/refused", "x" * 40)
