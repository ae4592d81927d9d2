"""Create-pr from the queue to the forge: real git over HTTP, an API that checks each request."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from internal.errors import Invalid
from internal.keys.model import KeyProvider, NewKey
from internal.mcp.model import McpServer
from internal.task.model import Task
from internal.task.pullrequest import PullRequestOptions
from internal.task.state import State
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_site import TENANT, Site
from tests.support.forge import Forge, open_forge
from tests.support.hosts.double import TOKEN, Fault
from tests.support.repos import git
from tests.support.waiting import until

_DOMAINS = "CODEFORGE_GIT__PROVIDER_DOMAINS"


@pytest.fixture
async def forge(site: Site, tmp_path: Path) -> AsyncIterator[Forge]:
    """A forge that the workers of the site know; at the end nothing may be left of any run."""
    site.variables[_DOMAINS] = '{"127.0.0.1": "github"}'
    with open_forge(tmp_path / "forge") as forge:
        yield forge
        assert forge.complaints == []
        await site.settle()


async def test_fault_b19_work_becomes_one_commit_with_its_trailer_and_one_pull_request(
    site: Site, forge: Forge
) -> None:
    """On the base commit, by the configured author, with a trailer; the target is detected."""
    async with site.worker():
        task = await _done(site, forge, "# Add a file\nwrite new.txt: hello")
        found = await _publish(site, task)
        stands = [await site.core.publishing.look(TENANT, task)]
        forge.pulls[0].state = "merged"
        stands.append(await site.core.publishing.look(TENANT, task))

    (pull,) = forge.pulls
    branch = f"codeforge/{task}"
    assert [view.state for view in stands] == ["open", "merged"]
    assert (stands[0].number, stands[0].url) == (found.pr_number, found.pr_url)
    assert found.status is State.PR_CREATED
    assert (found.pr_number, found.branch) == (pull.number, branch)
    assert found.pr_url == forge.web_url("pull/1")
    assert (pull.head, pull.base, pull.title) == (branch, "trunk", "Add a file")
    assert "1 file changed (1 new; +1 -0)" in pull.text
    assert forge.files(branch) == ["README.md", "new.txt", "src/app.py"]
    assert forge.show(branch, "%an <%ae> %cn <%ce>|%P|%s|%(trailers:only,unfold)") == "|".join(
        [
            "CodeForge Bot <codeforge@noreply> CodeForge Bot <codeforge@noreply>",
            forge.heads()["trunk"],
            "Add a file",
            f"CodeForge-Task: {task}\n",
        ]
    ).rstrip("\n")
    assert (await site.names(task))[-4:] == [
        "system/state",
        "git/push_started",
        "system/state",
        "git/pr_created",
    ]


async def test_what_the_request_chooses_reaches_the_host(site: Site, forge: Forge) -> None:
    """Over what `config.pr` chose; labels and reviewers that the host refuses are warnings."""
    forge.repo.commit({"a": "a"}, branch="release")
    config = PullRequestOptions(title="from config", labels=("bug",), draft=True)
    async with site.worker():
        task = await _done(site, forge, "write new.txt: x", pr=config)
        asked = PullRequestOptions(
            title="Chosen ✓", description="why", target_branch="release", reviewers=("nobody",)
        )
        found = await _publish(site, task, asked)

    (pull,) = forge.pulls
    assert found.status is State.PR_CREATED
    assert (pull.title, pull.text, pull.base) == ("Chosen ✓", "why", "release")
    assert (pull.labels, pull.draft) == (["bug"], True)
    warnings = [e["data"] for e in await site.events(task) if e["event"] == "warning"]
    assert [told["reason"] for told in warnings] == ["pull_request"]


async def test_fault_a17_a_follow_up_updates_the_same_pull_request(
    site: Site, forge: Forge
) -> None:
    """The same branch is moved, under a lease, and no second pull request appears."""
    async with site.worker():
        task = await _done(site, forge, "write one.txt: 1")
        await _publish(site, task)
        first = forge.heads()[f"codeforge/{task}"]
        await site.instruct(task, "write two.txt: 2")
        await site.finished(task)
        found = await _publish(site, task)

    assert found.status is State.PR_CREATED
    assert len(forge.pulls) == 1
    assert forge.heads()[f"codeforge/{task}"] != first
    assert {"one.txt", "two.txt"} < set(forge.files(f"codeforge/{task}"))
    created = [e["data"] for e in await site.events(task) if e["event"] == "pr_created"]
    assert [told["updated"] for told in created] == [False, True]


async def test_fault_a17_a_title_is_one_line_and_no_character_is_split(
    site: Site, forge: Forge
) -> None:
    """The first line that says something, cut at a word."""
    prompt = "\n\n  ## " + "ünïcödé " * 30 + "\nwrite new.txt: x"
    async with site.worker():
        task = await _done(site, forge, prompt)
        await _publish(site, task)

    (pull,) = forge.pulls
    assert pull.title.startswith("ünïcödé ünïcödé")
    assert pull.title.endswith("ünïcödé…")
    assert len(pull.title) <= 120


async def test_fault_a18_commits_of_the_agent_count(site: Site, forge: Forge) -> None:
    """Changes are those against the base commit, whoever made them; folders count file by file."""
    script = (
        "mkdir new && echo 1 > new/a && echo 2 > new/b && git add -A && "
        "git -c user.name=x -c user.email=x commit -qm mine; "
        """echo '{"type":"result","text":"done"}'"""
    )
    async with site.worker(CLI__DEMO__PATH=shell_cli(site.directory, script)):
        task = await _done(site, forge, "anything")
        found = await _publish(site, task)

    assert found.status is State.PR_CREATED
    assert found.changes is not None
    assert (found.changes.files_created, found.changes.insertions) == (2, 2)
    assert forge.files(f"codeforge/{task}") == ["README.md", "new/a", "new/b", "src/app.py"]
    assert forge.show(f"codeforge/{task}", "%P") == forge.heads()["trunk"]


async def test_fault_b2_what_an_agent_did_to_its_git_does_not_reach_the_push(
    site: Site, forge: Forge, tmp_path: Path
) -> None:
    """Another origin, hooks, a credential helper, filters: none is asked, nothing of it runs."""
    trace = tmp_path / "it-ran"
    script = "; ".join(
        [
            "mkdir -p .git/hooks",
            f"for h in pre-push pre-commit; do echo 'touch {trace}' > .git/hooks/$h; done",
            "chmod +x .git/hooks/*",
            "git remote set-url origin http://127.0.0.1:9/evil.git",
            "git remote set-url --push origin http://127.0.0.1:9/evil.git",
            f"git config credential.helper '!touch {trace}; false'",
            f"git config filter.x.clean 'touch {trace}; cat'; echo '* filter=x' > .gitattributes",
            f"git config core.fsmonitor 'touch {trace}'",
            """echo new > new.txt; echo '{"type":"result","text":"done"}'""",
        ]
    )
    async with site.worker(CLI__DEMO__PATH=shell_cli(site.directory, script)):
        task = await _done(site, forge, "anything")
        found = await _publish(site, task)

    assert found.status is State.PR_CREATED
    assert "new.txt" in forge.files(f"codeforge/{task}")
    assert not trace.exists()


async def test_fault_a7_a_refused_push_leaves_the_task_as_it_was(site: Site, forge: Forge) -> None:
    """With the host's own words; afterwards everything is still possible."""
    forge.refuse_pushes("no robots here")
    async with site.worker():
        task = await _done(site, forge, "write new.txt: x\nsay written")
        failed = await _publish(site, task)
        forge.refuse_pushes("")
        found = await _publish(site, task)

    assert failed.status is State.COMPLETED
    assert failed.pr_reason == "provider_error"
    assert failed.pr_error is not None
    assert "pre-receive hook declined" in failed.pr_error
    assert failed.result is not None
    assert found.status is State.PR_CREATED
    assert found.pr_error is None


async def test_fault_b3_a_failing_host_leaves_the_task_as_it_was(site: Site, forge: Forge) -> None:
    """The branch was pushed; the next call finds it and opens the one pull request."""
    forge.faults.append(Fault(method="POST", path="/pulls", status=500, times=9))
    async with site.worker():
        task = await _done(site, forge, "write new.txt: x")
        failed = await _publish(site, task)
        forge.faults.clear()
        found = await _publish(site, task)

    assert (failed.status, failed.pr_reason) == (State.COMPLETED, "provider_error")
    assert found.status is State.PR_CREATED
    assert len(forge.pulls) == 1


async def test_a_branch_that_somebody_else_moved_is_not_overwritten(
    site: Site, forge: Forge
) -> None:
    """The call fails as `push_rejected`, the foreign commit stays."""
    async with site.worker():
        task = await _done(site, forge, "write new.txt: x")
        await _publish(site, task)
        git("fetch", "--quiet", "origin", cwd=forge.repo.copy)
        git("checkout", "--quiet", f"codeforge/{task}", cwd=forge.repo.copy)
        foreign = forge.repo.commit({"theirs.txt": "1"})
        await site.instruct(task, "write two.txt: 2")
        await site.finished(task)
        found = await _publish(site, task)

    assert (found.status, found.pr_reason) == (State.COMPLETED, "push_rejected")
    assert forge.heads()[f"codeforge/{task}"] == foreign


async def test_the_work_of_a_failed_task_can_be_published(site: Site, forge: Forge) -> None:
    """The newest recorded work, the tree that the diff shows."""
    async with site.worker():
        task = await _done(site, forge, "write new.txt: x\nfail no")
        found = await _publish(site, task)

    assert found.status is State.PR_CREATED
    assert "new.txt" in forge.files(f"codeforge/{task}")


async def test_another_home_publishes_what_it_rebuilds(site: Site, forge: Forge) -> None:
    """
    From the stored patch: the same commit, and the same target, as at the home that ran it. Until
    it pushes it can be cancelled: then everything is as it was.
    """
    forge.repo.commit({"r.txt": "r"}, branch="release")
    # Redis was spoken to just now: else nothing is moved from a home for a whole lease.
    now = int(time.time() * 1000)
    spoken = ["last", str(now), "quiet_until", "0"]
    await site.core.redis.hset(site.core.keys.contact(), items=spoken)
    async with AsyncExitStack() as stack:
        async with site.worker("a"):
            task = await _done(site, forge, "write new.txt: x", target_branch="release")
            await _publish(site, task)
            first = forge.heads()[f"codeforge/{task}"]
            await stack.enter_async_context(site.worker("b"))
        git("update-ref", "-d", f"refs/heads/codeforge/{task}", cwd=forge.repo.path)
        cancelled = await _cancel_while_it_fetches(site, forge, task)
        found = await _publish(site, task)

    assert (cancelled.status, cancelled.pr_reason) == (State.PR_CREATED, "canceled")
    assert found.status is State.PR_CREATED
    assert forge.heads()[f"codeforge/{task}"] == first
    assert {pull.base for pull in forge.pulls} == {"release"}


async def test_an_automatic_pull_request_follows_the_run(site: Site, forge: Forge) -> None:
    """`done` means the state after it; a follow-up updates it, also by itself."""
    async with site.worker():
        task = await site.submit(
            "write new.txt: x", repo_url=forge.url, access_token=TOKEN, auto_create_pr=True
        )
        first = await site.finished(task)
        await site.instruct(task, "write two.txt: y")
        second = await site.finished(task)

    assert (first.status, second.status) == (State.PR_CREATED, State.PR_CREATED)
    assert len(forge.pulls) == 1
    names = await site.names(task)
    assert names.count("result/task_completed") == 2
    assert names.count("git/pr_created") == 2


async def test_fault_b16_a_second_publish_ends_in_pr_created(site: Site, forge: Forge) -> None:
    """Also when nothing is new: the same commit is there already, and that is success."""
    async with site.worker():
        task = await _done(site, forge, "write new.txt: x")
        await _publish(site, task)
        head = forge.heads()[f"codeforge/{task}"]
        found = await _publish(site, task)

    assert found.status is State.PR_CREATED
    assert forge.heads()[f"codeforge/{task}"] == head
    assert len(forge.pulls) == 1


_REFUSED = {
    "mkdir -p .github/workflows; echo x > .github/workflows/ci.yml": "workflow_in_diff",
    "ln -s ../../etc/passwd link": "link_leaves_tree",
    "head -c 2000000 /dev/zero > big.bin": "file_too_large",
    "echo key = ghp_aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW1xY2 > key": "secret_in_diff",
    f"echo {base64.b64encode(b'xy' + TOKEN.encode()).decode()} > key": "secret_in_diff",
    "git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),sub; touch a": "",
    "true": "no_changes",
}
"""What an agent does, and why that is not published; "" where only the rest of it is recorded."""


async def test_work_that_must_not_leave_is_refused_with_its_own_code(
    site: Site, forge: Forge
) -> None:
    """Whether the request or the run refuses it: nothing is pushed, the task is as it was."""
    agent = shell_cli(site.directory, """eval "$(cat)" >&2; echo '{"type":"result","text":"ok"}'""")
    async with site.worker(CLI__DEMO__PATH=agent, GIT__MAX_FILE_MB="1"):
        for script, reason in _REFUSED.items():
            task = await _done(site, forge, script)

            assert await _refusal(site, task) == (reason or None), script
            assert (f"codeforge/{task}" in forge.heads()) is not bool(reason)

    (pull,) = forge.pulls
    assert forge.files(pull.head) == ["README.md", "a", "src/app.py"]


_VALUE = "s3cr3t-value-0123456789"  # nothing is behind it
_LEAKS = {
    f"write a: {_VALUE}": True,
    f"write a: {base64.b64encode(b'x' + _VALUE.encode()).decode()}": False,
    f"write {_VALUE}: x": False,
}
"""What an agent writes that was given a value, and whether its pull request is automatic."""


async def test_nothing_that_the_agent_was_given_is_published(site: Site, forge: Forge) -> None:
    """Not what an MCP server was given either, in a file or as its name, whoever asked for it."""
    server = McpServer(name="own", command="true", env={"TOKEN": _VALUE})
    async with site.worker():
        for prompt, automatic in _LEAKS.items():
            task = await _done(site, forge, prompt, mcp_servers=(server,), auto_create_pr=automatic)
            found = await site.task(task)
            reason = found.pr_reason if automatic else await _refusal(site, task)

            assert (found.status, reason) == (State.COMPLETED, "secret_in_diff"), prompt

    assert list(forge.heads()) == ["trunk"]


async def test_fault_a9_a_registered_key_publishes(site: Site, forge: Forge) -> None:
    """Not only the request's own: whatever a run may use, its pull request may use."""
    async with site.worker():
        key = NewKey(name="forge", provider=KeyProvider.GITHUB, base_url=f"http://{forge.host}")
        await site.core.registered.create(TENANT, key, TOKEN)
        task = await site.submit("write new.txt: x", repo_url=forge.url)
        await site.finished(task)
        found = await _publish(site, task)

    assert found.status is State.PR_CREATED
    assert found.key_source == "default:forge"


async def _done(site: Site, forge: Forge, prompt: str, **config: Any) -> str:
    """A task on the forge that has ended."""
    task = await site.submit(prompt, repo_url=forge.url, access_token=TOKEN, **config)
    await site.finished(task)
    return task


async def _publish(site: Site, task: str, options: PullRequestOptions | None = None) -> Task:
    await site.core.publishing.publish(TENANT, task, options or PullRequestOptions())
    return await site.finished(task)


async def _cancel_while_it_fetches(site: Site, forge: Forge, task: str) -> Task:
    """The task after a create-pr that was cancelled while its worker fetched the repository."""
    asked = len(forge.server.requests)
    forge.server.packs_may_go.clear()
    await site.core.publishing.publish(TENANT, task, PullRequestOptions())
    await until(
        "the worker fetches",
        lambda: sum("POST" in request for request in forge.server.requests[asked:]) > 1,
    )
    await site.cancel(task)
    found = await site.finished(task)
    forge.server.packs_may_go.set()
    assert f"codeforge/{task}" not in forge.heads()
    return found


async def _refusal(site: Site, task: str) -> str | None:
    """The code of the error by which the request or the run refuses; None when it is published."""
    try:
        found = await _publish(site, task)
    except Invalid as error:
        found = await site.task(task)
        assert (found.status, found.pr_error) == (State.COMPLETED, None)  # nothing was changed
        return error.error_code
    assert found.status is (State.COMPLETED if found.pr_reason else State.PR_CREATED)
    return found.pr_reason
