"""Labels and reviewers: added on every host, and never a failure."""

from __future__ import annotations

import pytest

from internal.git.provider.base import Provider
from tests.support.hosts.double import Fault, HostDouble
from tests.support.hosts.gitlab import GitLabDouble
from tests.support.hosts.speaking import wanted


async def test_labels_and_reviewers_are_added(double: HostDouble, provider: Provider) -> None:
    """
    They are set on the opened one and on the updated one; what was there stays.
    """
    first, second = list(double.users)
    await provider.open_pull_request(wanted(labels=("bug",), reviewers=(first,)))
    if isinstance(double, GitLabDouble):
        double.max_reviewers = 2

    again = await provider.open_pull_request(wanted(labels=("codeforge",), reviewers=(second,)))

    [pull] = double.pulls
    assert pull.reviewers == [first, second]
    if double.name == "bitbucket":
        assert again.warnings == ("label codeforge: Bitbucket has no labels",)
    else:
        assert (pull.labels, again.warnings) == (["bug", "codeforge"], ())


async def test_an_update_leaves_reviewers_as_they_are(
    double: HostDouble, provider: Provider
) -> None:
    """
    Hosts that replace the list are given it back.
    """
    [reviewer, _] = double.users
    await provider.open_pull_request(wanted(reviewers=(reviewer,)))

    await provider.open_pull_request(wanted(title="Again", base="release"))

    assert double.pulls[0].reviewers == [reviewer]


async def test_a_refused_reviewer_is_a_warning(double: HostDouble, provider: Provider) -> None:
    """
    One that the host does not know is named; the others are asked, and the call succeeds.
    """
    [reviewer, _] = double.users

    opened = await provider.open_pull_request(wanted(reviewers=("nobody", reviewer)))

    assert double.pulls[0].reviewers == [reviewer]
    [warning] = opened.warnings
    assert warning.startswith("reviewer nobody: ")


@pytest.mark.parametrize("status", [0, 403, 500])
async def test_labels_and_reviewers_that_fail_are_warnings(
    double: HostDouble, provider: Provider, status: int
) -> None:
    """
    The pull request exists by then, so nothing about it may end as a failure.
    """
    [reviewer, _] = double.users
    extras = r"(/labels|/requested_reviewers|/(merge_requests|pullrequests)/\d+)"
    double.faults.append(Fault(method="POST|PUT", path=extras, status=status, times=9))

    opened = await provider.open_pull_request(wanted(labels=("bug",), reviewers=(reviewer,)))

    assert opened.number == 1
    assert [warning.split()[0].rstrip("s:") for warning in opened.warnings] == ["label", "reviewer"]
