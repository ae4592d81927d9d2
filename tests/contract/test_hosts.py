"""
One suite that every host of pull requests passes, over HTTP, against a double of its API.

The doubles hold each request against the host's published description (tests/support/hosts).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from internal.egress.client import HttpClient
from internal.egress.guard import Guard
from internal.errors import NotFound
from internal.git.model import PullRequest, PullRequestState, PullRequestWanted
from internal.git.provider.base import Provider
from internal.git.provider.catalog import provider_for
from internal.git.remote import parse_remote
from tests.support.hosts.double import TOKEN, Fault, HostDouble, serving
from tests.support.hosts.github import GitHubDouble

_PULLS = "/(pulls|merge_requests|pullrequests)"
_DOUBLES: list[type[HostDouble]] = [GitHubDouble]


@pytest.fixture(params=_DOUBLES, ids=lambda double: double.name)
def double(request: pytest.FixtureRequest) -> Iterator[HostDouble]:
    """A host on loopback that complains of no request until the end of the test."""
    kind: type[HostDouble] = request.param
    host = kind()
    with serving(host):
        yield host
    assert host.complaints == []


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """The client of the service, allowed to reach loopback."""
    async with HttpClient(Guard(["127.0.0.0/8"]), user_agent="CodeForge/test") as client:
        yield client


@pytest.fixture
def provider(double: HostDouble, http: HttpClient) -> Provider:
    """The provider of the double's repository, with its token."""
    return speak(double, http)


def speak(double: HostDouble, http: HttpClient, *, token: str | None = TOKEN) -> Provider:
    """A provider made as the service makes it, from the repository's URL and the settings."""
    return provider_for(
        parse_remote(double.clone_url()),
        domains={"127.0.0.1": double.name},
        base_url=None,
        token=token,
        http=http,
    )


def wanted(
    *,
    head: str = "codeforge/1",
    base: str = "trunk",
    title: str = "Add a login",
    description: str = "What was done.\n\nAnd why: ü ✓",
    draft: bool = False,
    labels: tuple[str, ...] = (),
    reviewers: tuple[str, ...] = (),
) -> PullRequestWanted:
    """A pull request as publishing wants it."""
    return PullRequestWanted(
        head=head,
        base=base,
        title=title,
        description=description,
        draft=draft,
        labels=labels,
        reviewers=reviewers,
    )


async def test_a_branch_without_a_pull_request_gets_one(
    double: HostDouble, provider: Provider
) -> None:
    """
    It is opened from the branch to the target, with title and description as they were given.
    """
    opened = await provider.open_pull_request(wanted())

    [pull] = double.pulls
    assert (pull.title, pull.text) == ("Add a login", "What was done.\n\nAnd why: ü ✓")
    assert (pull.head, pull.base, pull.draft) == ("codeforge/1", "trunk", False)
    assert opened == PullRequest(
        number=1, url=opened.url, state=PullRequestState.OPEN, branch="codeforge/1"
    )
    assert opened.url.startswith(f"http://{double.host}/octo-org/hello-world/")


async def test_an_open_pull_request_is_brought_up_to_date(
    double: HostDouble, provider: Provider
) -> None:
    """
    A second call for the same branch changes title and description of the one that is there.
    """
    first = await provider.open_pull_request(wanted())

    second = await provider.open_pull_request(wanted(title="Add a login form", description="New."))

    [pull] = double.pulls
    assert (pull.title, pull.text) == ("Add a login form", "New.")
    assert (second.number, second.updated) == (first.number, True)


async def test_another_target_moves_the_open_pull_request(
    double: HostDouble, provider: Provider
) -> None:
    """
    Hosts allow one pull request per branch and target; the branch alone is our key.
    """
    await provider.open_pull_request(wanted(base="trunk"))

    await provider.open_pull_request(wanted(base="release"))

    assert [(pull.number, pull.base) for pull in double.pulls] == [(1, "release")]


@pytest.mark.parametrize("state", ["merged", "closed"])
async def test_a_finished_pull_request_is_left_alone(
    double: HostDouble, provider: Provider, state: str
) -> None:
    """
    Work that comes after a merge or a close gets a pull request of its own.
    """
    double.open(state=state)

    opened = await provider.open_pull_request(wanted())

    assert (opened.number, opened.updated) == (2, False)
    assert double.pulls[0].title == "before"


async def test_a_branch_of_the_same_name_in_a_fork_is_another_one(
    double: HostDouble, provider: Provider
) -> None:
    """
    Anybody can open a pull request from a fork with our branch's name; it is never touched.
    """
    double.open(from_fork=True)

    opened = await provider.open_pull_request(wanted(base="release"))

    assert opened.number == 2
    assert double.pulls[0].title == "before"


async def test_the_oldest_of_several_open_ones_is_taken(
    double: HostDouble, provider: Provider
) -> None:
    """
    Somebody opened a second one to another target: every call means the same one.
    """
    double.open(base="trunk")
    double.open(base="release")

    found = await provider.find("codeforge/1")

    assert found is not None
    assert found.number == 1
    assert await provider.find("codeforge/2") is None


async def test_the_state_of_a_pull_request_is_read(double: HostDouble, provider: Provider) -> None:
    """
    Each host's words for it become open, merged or closed; a number nobody has is not found.
    """
    for state in ("open", "merged", "closed"):
        double.open(state=state)

    read = [(await provider.read(number)).state for number in (1, 2, 3)]

    assert read == [PullRequestState.OPEN, PullRequestState.MERGED, PullRequestState.CLOSED]
    with pytest.raises(NotFound):
        await provider.read(99)


async def test_fault_a17_the_default_branch_is_the_hosts(
    double: HostDouble, provider: Provider
) -> None:
    """
    It is asked for, never taken to be `main`.
    """
    double.default_branch = "release"

    assert await provider.default_branch() == "release"


async def test_a_draft_is_opened_as_one_and_stays_one(
    double: HostDouble, provider: Provider
) -> None:
    """
    An update says nothing about it: people make a draft ready, and a ready one a draft.
    """
    await provider.open_pull_request(wanted(draft=True))

    await provider.open_pull_request(wanted(title="Now with tests", draft=False))

    [pull] = double.pulls
    assert (pull.draft, pull.title) == (True, "Now with tests")


async def test_fault_a15_an_answer_that_got_lost_is_not_asked_for_twice(
    double: HostDouble, provider: Provider
) -> None:
    """
    The pull request was opened, but the connection broke before the answer: it is found.
    """
    double.faults.append(Fault(method="POST", path=_PULLS, after=True))

    opened = await provider.open_pull_request(wanted())

    assert [pull.number for pull in double.pulls] == [opened.number]


async def test_fault_a15_two_publishers_at_once_open_one_pull_request(
    double: HostDouble, http: HttpClient
) -> None:
    """
    Another one opens it between our look and our request; what the host then says is no failure.
    """
    list_path = "(pulls|merge_requests|pullrequests)"
    double.faults.append(Fault(method="GET", path=list_path, hold=lambda: None, after=True))

    def race() -> None:
        double.open(title="the other's")

    double.faults[0] = Fault(method="POST", path=_PULLS, hold=race)

    opened = await speak(double, http).open_pull_request(wanted())

    [pull] = double.pulls
    assert (pull.title, opened.number) == ("Add a login", 1)
