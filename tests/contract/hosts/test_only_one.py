"""One pull request per branch, whatever is lost, killed, or done by others at the same time."""

from __future__ import annotations

import asyncio

from internal.egress.client import HttpClient
from internal.git.model import PullRequestWanted
from internal.git.provider.base import Provider
from tests.support.hosts.double import Fault, HostDouble
from tests.support.hosts.speaking import PULLS, speak, wanted


async def test_fault_a15_an_answer_that_got_lost_is_not_asked_for_twice(
    double: HostDouble, provider: Provider
) -> None:
    """
    The pull request was opened, but the connection broke before the answer: it is found.
    """
    double.faults.append(Fault(method="POST", path=PULLS, after=True))

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

    double.faults[0] = Fault(method="POST", path=PULLS, hold=race)

    opened = await speak(double, http).open_pull_request(wanted())

    [pull] = double.pulls
    assert (pull.title, opened.number) == ("Add a login", 1)


async def test_promise_4_fault_a15_a_kill_between_any_two_calls_leaves_one_pull_request(
    double: HostDouble, http: HttpClient
) -> None:
    """
    The publisher is ended during its first, second, ... request, which the host still serves; the
    next one completes the same pull request, with its label and reviewer.
    """
    [reviewer, _] = double.users
    request = wanted(labels=("bug",), reviewers=(reviewer,))
    kills, was_killed = 0, True
    while was_killed:
        double.pulls.clear()
        was_killed = await _publish_and_kill(double, http, request, after=kills + 1)

        await speak(double, http).open_pull_request(request)

        [pull] = double.pulls
        assert pull.reviewers == [reviewer]
        kills += 1
    assert kills > 3


async def _publish_and_kill(
    double: HostDouble, http: HttpClient, request: PullRequestWanted, *, after: int
) -> bool:
    """Whether the publisher came to its request number *after*, during which it is ended."""
    loop = asyncio.get_running_loop()
    publisher = asyncio.create_task(speak(double, http).open_pull_request(request))
    end = len(double.seen) + after

    def count() -> None:
        if len(double.seen) == end:
            loop.call_soon_threadsafe(publisher.cancel)

    double.on_request = count
    await asyncio.wait([publisher])
    double.on_request = None
    await asyncio.to_thread(double.wait_until_idle)
    return publisher.cancelled()


async def test_a_push_that_the_host_has_not_seen_yet_is_waited_for(
    double: HostDouble, provider: Provider
) -> None:
    """
    Right behind a push some hosts do not know the branch for a moment.
    """
    double.branches.remove("codeforge/1")
    double.faults.append(
        Fault(
            method="POST",
            path=PULLS,
            status=422 if double.name == "github" else 400,
            hold=lambda: double.branches.add("codeforge/1"),
        )
    )

    opened = await provider.open_pull_request(wanted())

    assert opened.number == 1
