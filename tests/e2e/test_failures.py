"""Every way a run can go wrong ends in `failed` with its reason, and the service goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codeforge.client import Client, Document
from tests.support.deployment import Deployment
from tests.support.repos import Repo


def _run(
    deployment: Deployment, client: Client, repo_url: str, prompt: str, **config: Any
) -> Document:
    request = {"repo_url": repo_url, "prompt": prompt, "config": {"cli": "demo", **config}}
    return deployment.finished(client.submit(request)["id"], client=client)


def test_an_unknown_branch_fails_and_is_named(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """It was accepted: only the remote knows its branches."""
    document = _run(deployment, client, repository.url, "say hello", target_branch="no-such-branch")

    assert (document["status"], document["failure"]["reason"]) == ("failed", "repo_not_found")
    assert "no-such-branch" in document["error"]
    assert document["failure"]["retryable"] is False


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("fail: the compiler is broken", "the compiler is broken"),
        ("exit 3", "3"),
        ("crash", "SIGABRT"),
        ("silent", ""),
        ("garbage\nexit 1", ""),
    ],
)
def test_an_agent_that_breaks_fails_its_task(
    deployment: Deployment, client: Client, repository: Repo, prompt: str, message: str
) -> None:
    """The message says how it ended; what it wrote before is kept."""
    document = _run(deployment, client, repository.url, f"write kept.txt: x\n{prompt}")

    assert (document["status"], document["failure"]["reason"]) == ("failed", "agent_failed")
    assert message in document["error"]
    assert [file["path"] for file in client.diff(document["id"])["files"]] == ["kept.txt"]


def test_fault_a24_garbage_between_the_lines_is_told_and_does_no_harm(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """What cannot be read is shown as text of the agent's system."""
    document = _run(deployment, client, repository.url, "garbage\nsay still here")

    assert (document["status"], document["result"]) == ("completed", "still here")


def test_fault_a12_a_line_of_5_megabytes_is_cut_and_the_run_goes_on(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """No event is longer than its limit."""
    document = _run(deployment, client, repository.url, "line 5 MB\nsay still here")

    events = client.events(document["id"], limit=200)["events"]
    longest = max(len(str(event["data"])) for event in events)
    assert (document["status"], document["result"]) == ("completed", "still here")
    assert 1000 < longest < 80_000


def test_promise_12_silence_ends_a_run_with_its_own_reason(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """`silence_seconds` is not the limit of the run."""
    document = _run(deployment, client, repository.url, "say wait\nhang", silence_seconds=1)

    assert (document["status"], document["failure"]["reason"]) == ("failed", "idle_timeout")


def test_an_agent_that_is_not_installed_fails_its_task(
    deployment: Deployment, client: Client, repository: Repo, mock_claude: Path
) -> None:
    """The client could not know; the message names the agent."""
    aside = mock_claude.rename(mock_claude.with_suffix(".aside"))
    try:
        document = _run(deployment, client, repository.url, "Do something", cli="claude-code")
    finally:
        aside.rename(mock_claude)

    assert (document["status"], document["failure"]["reason"]) == ("failed", "agent_missing")
    assert "claude-code" in document["error"]


def test_a_remote_that_is_a_plain_directory_is_no_repository(
    deployment: Deployment, client: Client, tmp_path: Path
) -> None:
    """It exists and git cannot read it."""
    document = _run(deployment, client, f"file://{tmp_path}", "say hello")

    assert (document["status"], document["failure"]["reason"]) == ("failed", "repo_not_found")
