"""What a trace shows of a run, when it goes well and when it does not."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from internal.task.pullrequest import PullRequestOptions
from internal.telemetry.tracing import continue_from
from tests.support.chaos_site import TENANT, Site
from tests.support.forge import open_forge
from tests.support.hosts.double import TOKEN
from tests.support.notebook import TRACE, Notebook, noting

CALLER = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def notebook() -> Generator[Notebook]:
    with noting() as made:
        yield made


async def test_every_attempt_is_in_the_trace_of_the_request(site: Site, notebook: Notebook) -> None:
    """A run that is handed back goes on elsewhere, in the same trace; it waited once."""
    async with site.worker(WORKERS__GRACE_SECONDS="0"):
        with continue_from(CALLER):
            task = await site.submit("say begun\nhang")
        await site.until_said(task, "begun")
    async with site.worker():
        await site.until_task(task, "runs again", lambda found: found.attempt == 2)
        await site.cancel(task)
        await site.finished(task)
    await site.settle()

    first, second = (entry for entry in notebook.spans if entry.name == "task.execute")
    assert str(first.parent) == str(second.parent) == CALLER
    assert (first.attributes["codeforge.attempt"], first.failure) == (
        1,
        ("handed_back", "shutdown"),
    )
    assert second.attributes["codeforge.attempt"] == 2
    assert second.failure is not None
    assert second.failure[0] == "canceled"
    assert str(notebook.named("task.queue").parent) == CALLER
    assert all(entry.ended for entry in notebook.spans)


async def test_a_failed_run_is_a_failed_span_with_its_reason(
    site: Site, notebook: Notebook
) -> None:
    """As the task shows it; the step that failed is one, too."""
    async with site.worker():
        task = await site.submit("say begun", repo_url=f"{site.repo.url}-that-is-not-there")
        await site.finished(task)
    await site.settle()

    for name in ("task.clone", "task.execute"):
        failure = notebook.named(name).failure
        assert failure is not None
        assert failure[0] == "repo_not_found"
    assert not [entry for entry in notebook.spans if entry.name == "task.run"]


async def test_a_pull_request_is_in_the_trace_of_its_own_request(
    site: Site, notebook: Notebook, tmp_path: Path
) -> None:
    """From its wait to the calls of the host, which get the trace, too."""
    site.variables["CODEFORGE_GIT__PROVIDER_DOMAINS"] = '{"127.0.0.1": "github"}'
    with open_forge(tmp_path / "forge") as forge:
        async with site.worker():
            task = await site.submit("write new.txt: x", repo_url=forge.url, access_token=TOKEN)
            await site.finished(task)
            with continue_from(CALLER):
                await site.core.publishing.publish(TENANT, task, PullRequestOptions())
            assert (await site.finished(task)).pr_number is not None
        await site.settle()

    publish, opening = notebook.named("task.publish"), notebook.named("pull_request.open")
    assert str(publish.parent) == CALLER
    for name in ("publish.prepare", "git.push", "pull_request.open"):
        assert notebook.named(name).parent == publish.place
    calls = [entry for entry in notebook.spans if entry.parent == opening.place]
    assert {entry.name for entry in calls} >= {"GET", "POST"}
    assert all(entry.attributes["server.address"] == "127.0.0.1" for entry in calls)
    assert TOKEN not in str(notebook.spans)


async def test_no_word_of_a_run_is_in_its_spans(site: Site, notebook: Notebook) -> None:
    """Neither of the prompt, nor of what the agent and its tools say, nor of the repository."""
    async with site.worker():
        task = await site.submit(
            "write secret-name.txt: words-of-the-file\n"
            "say words-of-the-answer\n"
            "read secret-name.txt"
        )
        await site.finished(task)
    await site.settle()

    shown = str(notebook.spans)
    assert "execute_tool write" in shown
    for word in ("words-of", "secret-name", site.repo.url):
        assert word not in shown
