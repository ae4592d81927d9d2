"""`codeforge task` beside a running `up`: it finds the server by itself, and scripts can use it."""

from __future__ import annotations

import json
from typing import Any

from codeforge.client import Client
from tests.support.deployment import Deployment, eventually
from tests.support.repos import Repo, git


def _json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_submit_show_diff_and_instruct(deployment: Deployment, repository: Repo) -> None:
    """Each prints what the next one needs."""
    made = deployment.run(
        *("task", "submit", repository.url, "-", "--agent", "demo", "--label", "team=a"),
        *("--follow", "--json"),
        stdin="write a.txt: one",
    )
    events = _json_lines(made.stdout)
    listed = deployment.run("task", "list", "--json", "-q", repository.path.name)
    task = json.loads(listed.stdout)["tasks"][0]["id"]
    shown = deployment.run("task", "show", task, "--json")
    diff = deployment.run("task", "diff", task)
    followed = deployment.run("task", "instruct", task, "append a.txt: two", "--follow")

    assert made.returncode == 0, made.stderr
    assert events[0]["event"] == "task_created"
    assert events[-1]["event"] == "task_completed"
    assert json.loads(shown.stdout)["labels"] == {"team": "a"}
    git("apply", "-", cwd=repository.copy, stdin=diff.stdout.encode())
    assert (repository.copy / "a.txt").read_text() == "one\n"
    assert followed.returncode == 0, followed.stderr
    assert "● completed" in followed.stdout
    assert "\x1b" not in followed.stdout  # no terminal, no colours


def test_a_failed_task_is_exit_code_1_and_can_be_retried(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """So a script sees it without reading."""
    words = ("task", "submit", repository.url, "fail: no luck", "--agent", "demo")
    submitted = deployment.run(*words, "--follow")
    task = client.list(q=repository.path.name)["tasks"][0]["id"]
    retried = deployment.run("task", "retry", task, "--follow")

    assert (submitted.returncode, retried.returncode) == (1, 1)
    assert "✗ no luck" in submitted.stdout


def test_cancel_ends_a_running_task(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """It prints the state; `follow` then ends with 1."""
    words = ("task", "submit", repository.url, "say hello\nhang", "--agent", "demo")
    task = deployment.run(*words).stdout.strip()
    eventually(lambda: client.get(task)["status"] == "running", "the task runs")

    cancelled = deployment.run("task", "cancel", task)
    followed = deployment.run("task", "follow", task)

    assert (cancelled.returncode, cancelled.stdout.strip()) == (0, "cancelling")
    assert followed.returncode == 1
    assert "cancelled by user" in followed.stdout


def test_a_pull_request_of_a_local_repository_is_refused(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """2 with the reason, and 3 where there is none to show; what it looks like is in the help."""
    words = ("task", "submit", repository.url, "write a.txt: one", "--agent", "demo", "--follow")
    deployment.run(*words)
    task = client.list(q=repository.path.name)["tasks"][0]["id"]

    made = deployment.run("task", "create-pr", task, "--title", "A title", "--draft")
    shown = deployment.run("task", "pr", task)

    assert (made.returncode, shown.returncode) == (2, 3)
    assert "local repository" in made.stderr
    assert client.get(task)["status"] == "completed"


def test_refusals_have_exit_codes_and_no_traceback(deployment: Deployment) -> None:
    """2 for a bad request, 3 for no such task, 4 for no server."""
    bad = deployment.run("task", "submit", "not-a-url", "do it")
    worse = deployment.run("task", "submit", "not-a-url", "do it", "--agent", "nobody")
    missing = deployment.run("task", "show", "nonexistent")
    empty = deployment.run("task", "show", "")
    alone = deployment.run("task", "list", "--url", "http://127.0.0.1:9")

    assert (bad.returncode, missing.returncode, alone.returncode) == (2, 3, 4)
    assert bad.stderr.count("repo_url") == 1
    assert [line.split()[0] for line in worse.stderr.splitlines()[1:]] == ["repo_url", "config.cli"]
    assert empty.returncode == 3
    for refused in (bad, missing, empty, alone):
        assert refused.stderr
        assert "Traceback" not in refused.stderr
        assert refused.stdout == ""


def test_a_finished_task_can_be_deleted(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """Nothing is printed, and it is gone."""
    deployment.run("task", "submit", repository.url, "say hi", "--agent", "demo", "--follow")
    task = client.list(q=repository.path.name)["tasks"][0]["id"]

    deleted = deployment.run("task", "delete", task)
    again = deployment.run("task", "delete", task)

    assert (deleted.returncode, deleted.stdout, again.returncode) == (0, "", 3)


def test_mcp_servers_are_registered_listed_and_removed(deployment: Deployment) -> None:
    """Values come from the environment, by the name of their variable, and are never shown."""
    words = ("mcp", "add", "issues", "--package", "@example/issues-mcp", "--arg=-v")
    added = deployment.run(*words, "--env", "HOME")
    unset = deployment.run(*words, "--env", "NOBODY_SET_THIS")
    called = deployment.run("mcp", "add", "wiki", "--at", "https://mcp.example.com/wiki")
    listed = deployment.run("mcp", "list")
    removed = [deployment.run("mcp", "remove", name).returncode for name in ("issues", "wiki")]
    again = deployment.run("mcp", "remove", "issues")

    assert (added.returncode, called.returncode) == (0, 0), added.stderr + called.stderr
    assert unset.returncode == 2
    assert "NOBODY_SET_THIS" in unset.stderr
    assert listed.stdout.splitlines() == [
        "issues  npx -y @example/issues-mcp -v  HOME",
        "wiki  https://mcp.example.com/wiki",
    ]
    assert (removed, again.returncode) == ([0, 0], 3)


def test_workspaces_are_listed_and_cleaned(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """What is used stays, what was used lately stays when told so; the work can go on after it."""
    words = ("task", "submit", repository.url, "--agent", "demo")
    done = deployment.run(*words, "write a.txt: one", "--follow", "--json")
    running = deployment.run(*words, "say hello\nhang").stdout.strip()
    task = next(
        row["id"] for row in client.list(q=repository.path.name)["tasks"] if row["id"] != running
    )
    eventually(lambda: "hello" in str(client.events(running)), "the other one runs")

    listed = json.loads(deployment.run("workspaces", "list", "--json").stdout)
    shown = deployment.run("workspaces", "list")
    too_young = deployment.run("workspaces", "clean", "--unused", "1")
    refused = deployment.run("workspaces", "clean", running)
    cleaned = deployment.run("workspaces", "clean")
    again = deployment.run("workspaces", "clean", task)
    followed = deployment.run("task", "instruct", task, "append a.txt: two", "--follow")
    deployment.run("task", "cancel", running)
    deployment.run("task", "follow", running)

    assert done.returncode == 0, done.stderr
    assert {task, running} <= {row["task_id"] for row in listed["workspaces"]}
    assert (listed["unreachable"], shown.returncode) == ([], 0)
    assert task in shown.stdout
    assert task not in too_young.stdout
    assert refused.returncode == 3
    assert "uses this workspace" in refused.stderr
    assert task in cleaned.stdout.split()
    assert running not in cleaned.stdout
    assert again.returncode == 3
    assert followed.returncode == 0, followed.stderr


def test_version_and_settings_are_printed(deployment: Deployment) -> None:
    """Secrets are masked."""
    version = deployment.run("version")
    shown = deployment.run("config", "show", environment={"CODEFORGE_SERVER__AUTH_TOKEN": "hide"})

    assert version.stdout.strip()[0].isdigit()
    assert shown.returncode == 0, shown.stderr
    assert "git.allow_local" in shown.stdout
    assert "hide" not in shown.stdout
