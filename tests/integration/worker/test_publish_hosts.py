"""One pull request through every host, from the queue to its API, over real git and HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from internal.task.pullrequest import PullRequestOptions
from internal.task.state import State
from tests.support.chaos_site import TENANT, Site
from tests.support.forge import (
    BitbucketForge,
    Forge,
    GiteaForge,
    GitHubForge,
    GitLabForge,
    open_forge,
)
from tests.support.hosts.double import TOKEN


@pytest.mark.parametrize(
    "kind", [GitHubForge, GitLabForge, GiteaForge, BitbucketForge], ids=lambda kind: kind.name
)
async def test_a_task_and_its_follow_up_are_one_pull_request_on_every_host(
    site: Site, tmp_path: Path, kind: type[Forge]
) -> None:
    """The branch is pushed, the pull request opened, moved and retitled; the host complains not."""
    site.variables["CODEFORGE_GIT__PROVIDER_DOMAINS"] = json.dumps({"127.0.0.1": kind.name})
    with open_forge(tmp_path / "forge", kind) as forge:
        async with site.worker():
            task = await site.submit("write a.txt: a", repo_url=forge.url, access_token=TOKEN)
            await site.finished(task)
            await site.core.publishing.publish(TENANT, task, PullRequestOptions(draft=True))
            first = await site.finished(task)
            await site.instruct(task, "write b.txt: b")
            await site.finished(task)
            again = PullRequestOptions(title="Both files", description="/merge")
            await site.core.publishing.publish(TENANT, task, again)
            second = await site.finished(task)

    assert forge.complaints == []
    [pull] = forge.pulls
    assert (first.status, second.status) == (State.PR_CREATED, State.PR_CREATED)
    assert (first.pr_number, second.pr_number, second.pr_url) == (1, 1, first.pr_url)
    assert (pull.head, pull.base, pull.title) == (f"codeforge/{task}", "trunk", "Both files")
    assert pull.draft
    assert {"a.txt", "b.txt"} < set(forge.files(pull.head))
    assert not [seen.path for seen in forge.seen if TOKEN in seen.path]
    await site.settle()
