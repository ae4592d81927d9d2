"""What a pull request becomes: one suite that every host passes, against its double."""

from __future__ import annotations

import pytest

from internal.egress.client import HttpClient
from internal.errors import NotFound
from internal.git.model import ProviderName, PullRequest, PullRequestState
from internal.git.provider.base import Provider
from internal.git.provider.catalog import check_token
from tests.support.hosts.double import TOKEN, Fault, HostDouble
from tests.support.hosts.speaking import wanted


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
    assert opened.url.startswith(f"http://{double.host}/{double.full_name}/")


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


async def test_who_a_token_belongs_to_is_told(double: HostDouble, http: HttpClient) -> None:
    """
    A good one has a name, a bad one a reason, and one that may not read its user is good.
    """
    base_url = f"http://{double.host}"
    name = ProviderName(double.name)
    good = await check_token(name, base_url=base_url, token=TOKEN, http=http)
    bad = await check_token(name, base_url=f"{base_url}/", token="x" * 20, http=http)
    double.faults.append(Fault(method="GET", path="/user", status=403))
    narrow = await check_token(name, base_url=base_url + double.root, token=TOKEN, http=http)

    assert good.ok
    assert good.login
    assert (bad.ok, bool(bad.reason)) == (False, True)
    assert (narrow.ok, narrow.login) == (True, None)


async def test_a_title_no_host_takes_is_made_to_fit(double: HostDouble, provider: Provider) -> None:
    """
    Too long, with line breaks, half a surrogate pair: it is cut by characters, drafts included.
    """
    title = "Füge 👩‍👩‍👧 hinzu\r\n\ud800 " + "ü" * 400

    await provider.open_pull_request(wanted(title=title, draft=True))

    [pull] = double.pulls
    assert pull.title.startswith("Füge 👩‍👩‍👧 hinzu ? üü")
    assert pull.title.endswith("ü…")
    assert "\n" not in pull.title


async def test_a_branch_with_strange_letters_is_found_again(
    double: HostDouble, provider: Provider
) -> None:
    """
    Names are encoded for queries; quotes and backslashes do not end one.
    """
    head = "codeforge/ü\"+&#'%41"
    double.branches.add(head)
    first = await provider.open_pull_request(wanted(head=head))

    again = await provider.open_pull_request(wanted(head=head))

    assert (first.number, again.number, again.branch) == (1, 1, head)
