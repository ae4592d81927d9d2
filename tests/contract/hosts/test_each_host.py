"""What only one of the hosts does."""

from __future__ import annotations

import base64
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from internal.egress.client import HttpClient
from internal.egress.guard import Guard
from internal.errors import PolicyDenied
from internal.git.model import ProviderName
from internal.git.provider.base import ProviderError, UnsupportedHost
from internal.git.provider.catalog import check_token, provider_for
from internal.git.remote import parse_remote
from tests.support.hosts.bitbucket import BitbucketDouble
from tests.support.hosts.double import TOKEN, Fault, HostDouble, serving
from tests.support.hosts.gitea import GiteaDouble
from tests.support.hosts.github import GitHubDouble
from tests.support.hosts.gitlab import PROJECT_ID, GitLabDouble
from tests.support.hosts.speaking import speak, wanted


@contextmanager
def content(double: HostDouble) -> Generator[None]:
    """Let *double* listen; at the end it has nothing to complain of."""
    with serving(double):
        yield
    assert double.complaints == []


async def test_github_is_asked_under_the_name_it_has_now(http: HttpClient) -> None:
    """
    A renamed owner: reads are redirected on the same host, and the filter for a branch works with
    the new name only, else a second pull request would be tried for.
    """
    double = GitHubDouble()
    double.renamed_from = "old-org"
    double.open()
    with content(double):
        remote = parse_remote(f"http://{double.host}/old-org/{double.repository}")
        provider = provider_for(
            remote, domains={"127.0.0.1": "github"}, base_url=None, token=TOKEN, http=http
        )

        opened = await provider.open_pull_request(wanted())
        read = await provider.read(1)

    assert (opened.number, opened.updated, read.number) == (1, True, 1)
    assert double.requests("POST") == []


async def test_github_without_drafts_opens_it_ready(http: HttpClient) -> None:
    """
    Private repositories of some plans have none: a warning, no failure.
    """
    double = GitHubDouble()
    double.takes_drafts = False
    with content(double):
        opened = await speak(double, http).open_pull_request(wanted(draft=True))

    assert [pull.draft for pull in double.pulls] == [False]
    [warning] = opened.warnings
    assert warning.startswith("draft: ")


@pytest.mark.parametrize("kind", [GitHubDouble, GiteaDouble])
async def test_a_team_is_asked_for_a_review(
    kind: type[GitHubDouble] | type[GiteaDouble], http: HttpClient
) -> None:
    """
    `organisation/team` is a team; one that nobody knows does not keep the other from being asked.
    """
    double = kind()
    with content(double):
        opened = await speak(double, http).open_pull_request(
            wanted(reviewers=("octo-org/core", "octo-org/ghosts", "alice"))
        )

    assert double.pulls[0].reviewers == ["core", "alice"]
    [warning] = opened.warnings
    assert warning.startswith("reviewer octo-org/ghosts: ")


async def test_the_scopes_of_a_token_are_told(http: HttpClient) -> None:
    """
    GitHub says them in a header, GitLab in an answer of its own.
    """
    github, gitlab = GitHubDouble(), GitLabDouble()
    with content(github), content(gitlab):
        one = await check_token(
            ProviderName.GITHUB, base_url=f"http://{github.host}", token=TOKEN, http=http
        )
        other = await check_token(
            ProviderName.GITLAB, base_url=f"http://{gitlab.host}", token=TOKEN, http=http
        )

    assert (one.login, one.scopes) == ("octocat", ("repo", "read:org"))
    assert (other.login, other.scopes) == ("root", ("api", "read_user"))


async def test_a_project_of_gitlab_is_found_by_its_whole_path(http: HttpClient) -> None:
    """
    Subgroups are one encoded part of the URL; everything after goes to the project's number.
    """
    double = GitLabDouble()
    with content(double):
        await speak(double, http).open_pull_request(wanted())

    paths = [seen.path for seen in double.seen]
    assert paths[0] == "/projects/octo-org%2Fweb%2Fteam%2Fhello-world"
    assert {path.split("/")[2] for path in paths[1:]} == {str(PROJECT_ID)}


async def test_gitlab_obeys_no_line_of_a_description(http: HttpClient) -> None:
    """
    `/merge` in what an agent wrote would be done in the name of the token, also by an update.
    """
    double = GitLabDouble()
    with content(double):
        provider = speak(double, http)
        await provider.open_pull_request(wanted(description="Done.\n/merge"))
        opened = double.pulls[0].text
        await provider.open_pull_request(wanted(description="/approve"))

    assert (opened, double.pulls[0].text) == ("Done.\n\\/merge", "\\/approve")


async def test_a_reviewer_that_gitlab_drops_is_a_warning(http: HttpClient) -> None:
    """
    The free tier keeps one reviewer and says nothing of the others.
    """
    double = GitLabDouble()
    with content(double):
        opened = await speak(double, http).open_pull_request(wanted(reviewers=("alice", "bob")))

    assert double.pulls[0].reviewers == ["alice"]
    assert [warning.split(":")[0] for warning in opened.warnings] == ["reviewer bob"]


async def test_a_label_that_gitlab_cannot_have_is_a_warning(http: HttpClient) -> None:
    """
    Its lists are separated by commas.
    """
    double = GitLabDouble()
    with content(double):
        opened = await speak(double, http).open_pull_request(wanted(labels=("a,b", "bug")))

    assert double.pulls[0].labels == ["bug"]
    assert [warning.split(":")[0] for warning in opened.warnings] == ["label a,b"]


async def test_gitea_is_paged_through_until_the_branch_is_found(http: HttpClient) -> None:
    """
    Its list has no filter, and its pages may be smaller than what was asked for.
    """
    double = GiteaDouble()
    double.open("codeforge/1")
    for number in range(7):
        double.open(f"topic/{number}")
    with content(double):
        found = await speak(double, http).find("codeforge/1")

    assert found is not None
    assert found.number == 1
    assert len(double.seen) == 1 + 4


async def test_labels_of_gitea_belong_to_the_repository_or_its_organisation(
    http: HttpClient,
) -> None:
    """
    They are set by number; one that is nowhere is a warning.
    """
    double = GiteaDouble()
    with content(double):
        opened = await speak(double, http).open_pull_request(
            wanted(labels=("bug", "security", "nowhere"))
        )

    assert double.pulls[0].labels == ["bug", "security"]
    assert opened.warnings == ("label nowhere: there is no such label",)


async def test_labels_of_an_organisation_that_cannot_be_read_are_none(http: HttpClient) -> None:
    """
    The owner may be a user, or the token without that scope: the repository's own still count.
    """
    double = GiteaDouble()
    double.faults.append(Fault(method="GET", path="/orgs/octo-org/labels", status=403))
    with content(double):
        opened = await speak(double, http).open_pull_request(wanted(labels=("bug", "security")))

    assert double.pulls[0].labels == ["bug"]
    assert opened.warnings == ("label security: there is no such label",)


async def test_bitbucket_takes_a_user_and_a_password(http: HttpClient) -> None:
    """
    An app password or API token comes with its user, an access token alone.
    """
    double = BitbucketDouble()
    pair = "ann@corp.example:app-password"
    basic = f"Basic {base64.b64encode(pair.encode()).decode()}"
    bitbucket = ProviderName.BITBUCKET
    with content(double):
        base_url = f"http://{double.host}"
        await check_token(bitbucket, base_url=base_url, token=TOKEN, http=http)
        double.faults.append(Fault(method="GET", path="/user", status=403))
        await check_token(bitbucket, base_url=base_url, token=pair, http=http)

    sent = [seen.headers["authorization"] for seen in double.seen]
    assert sent == [f"Bearer {TOKEN}", basic]


async def test_a_reviewer_of_bitbucket_has_an_account_id(http: HttpClient) -> None:
    """
    Names are not known to its API.
    """
    double = BitbucketDouble()
    with content(double):
        opened = await speak(double, http).open_pull_request(wanted(reviewers=("ann",)))

    assert opened.warnings == ("reviewer ann: Bitbucket wants an account id or a UUID in braces",)


async def test_without_a_token_none_is_sent(double: HostDouble, http: HttpClient) -> None:
    """
    Public repositories can be read; what cannot is told as the want of a token.
    """
    with pytest.raises(ProviderError, match="wants a valid token"):
        await speak(double, http, token=None).default_branch()

    assert "authorization" not in double.seen[0].headers


async def test_a_host_nobody_named_is_not_spoken_to(http: HttpClient) -> None:
    """
    A token never goes to a host for its looks.
    """
    remote = parse_remote("https://github.example.com/o/r")

    with pytest.raises(UnsupportedHost) as refused:
        provider_for(remote, domains={}, base_url=None, token=TOKEN, http=http)

    assert refused.value.error_code == "unsupported_host"
    assert "git.provider_domains" in refused.value.message


async def test_a_private_network_needs_the_operators_word(double: HostDouble) -> None:
    """
    The API is reached through the guard like everything else.
    """
    async with HttpClient(Guard(), user_agent="CodeForge/test") as guarded:
        with pytest.raises(PolicyDenied, match=r"egress\.allow"):
            await speak(double, guarded).default_branch()

    assert double.seen == []
