"""Execution control as an operator has it: the command line, and a policy from a package."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from codeforge.client import Client
from tests.support.deployment import Deployment, eventually, running
from tests.support.repos import Repo

_POLICY = '''
from dataclasses import replace

from internal.control.gate import Gate


class Touchy:
    """Two crashes in a row shut an agent out for long, and no agent starts often."""

    def __init__(self, settings):
        self._settings = settings

    def __getattr__(self, name):
        return getattr(self._settings, name)

    def breaker(self, key):
        return replace(self._settings.breaker(key), consecutive=2, pause_seconds=600)

    def gates(self, run):
        return (*self._settings.gates(run), Gate(key="rate:agent:touchy"))

    def limits(self):
        return {**self._settings.limits(), "rate:agent:touchy": 100}
'''


def _install(packages: Path) -> None:
    """As `pip install` leaves a package behind: its module, and what it says of itself."""
    info = packages / "acme_policy-1.dist-info"
    info.mkdir()
    (packages / "acme_policy.py").write_text(_POLICY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-policy\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[codeforge.policies]\ntouchy = acme_policy:Touchy\n")


@pytest.fixture(scope="module")
def touchy() -> Generator[Deployment]:
    """A deployment that goes by the package's policy, and repeats soon."""
    with tempfile.TemporaryDirectory(prefix="cf-policy-") as packages:
        _install(Path(packages))
        settings = {
            "PYTHONPATH": packages,
            "CODEFORGE_CONTROL__POLICY": "touchy",
            "CODEFORGE_CONTROL__RETRY__BASE_SECONDS": "0.1",
        }
        with running(settings) as deployment:
            yield deployment


@pytest.fixture
def deployment(touchy: Deployment) -> Generator[Deployment]:
    """The one of this file, checked for what a test leaves behind."""
    yield touchy
    asyncio.run(touchy.settled())


def _submit(deployment: Deployment, repository: Repo, prompt: str, *options: str) -> str:
    words = ("task", "submit", repository.url, "-", "--agent", "demo", *options)
    made = deployment.run(*words, stdin=prompt)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def _print(deployment: Deployment, *words: str) -> str:
    done = deployment.run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_task_is_paused_told_something_and_resumed(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """Each prints the state, or what becomes of the word; what is not possible is exit code 3."""
    limits = ("--silence-seconds", "400", "--tool-seconds", "300")
    task = _submit(deployment, repository, "say begun\nhang", *limits)
    eventually(lambda: "begun" in str(client.events(task)), "it runs")

    config = client.get(task)["config"]
    pausing = _print(deployment, "task", "pause", task)
    eventually(lambda: client.get(task)["status"] == "paused", "it is paused")
    told = _print(deployment, "task", "directive", task, "say more")
    resumed = _print(deployment, "task", "resume", task)
    eventually(lambda: client.get(task)["status"] == "running", "it goes on")
    _print(deployment, "task", "cancel", task)
    followed = deployment.run("task", "follow", task, "--json")
    events = [json.loads(line) for line in followed.stdout.splitlines()]
    control = [(event["event"], event["data"]) for event in events if event["type"] == "control"]
    refused = [deployment.run("task", word, task).returncode for word in ("pause", "resume")]

    assert (config["silence_seconds"], config["tool_seconds"]) == (400, 300)
    assert pausing.strip() in {"pausing", "paused"}
    assert told.strip() == "next"
    assert resumed.strip() == "pending"
    assert followed.returncode == 1
    assert [name for name, _ in control] == ["paused", "directive", "resumed", "directive"]
    assert [data["delivery"] for _, data in control if "delivery" in data] == ["next", "dropped"]
    assert refused == [3, 3]


def test_a_timeout_whose_repeats_are_used_up_is_a_dead_letter(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """`--retries` repeats it; the letter says how each attempt ended, and can be queued again."""
    task = _submit(deployment, repository, "hang", "--retries", "1", "--timeout", "1")
    failed = deployment.finished(task, client=client)

    listed = _print(deployment, "dead-letters", "list", "--reason", "timeout")
    shown = json.loads(_print(deployment, "dead-letters", "show", task, "--json"))
    requeued = _print(deployment, "dead-letters", "requeue", task)
    deployment.finished(task, client=client)
    again = deployment.run("dead-letters", "discard", task)
    empty = _print(deployment, "dead-letters", "list")

    assert (failed["failure"]["reason"], failed["attempt"]) == ("timeout", 2)
    assert failed["failure"]["detail"]["dead_letter"] is True
    assert listed.startswith(task)
    assert [attempt["reason"] for attempt in shown["attempts"]] == ["timeout", "timeout"]
    assert requeued == f"{task}\n"
    assert (again.returncode, again.stdout) == (0, f"{task}\n")
    assert empty == ""


def test_a_packages_policy_shuts_a_breaker_and_an_operator_opens_it(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """Its numbers count in the worker, its gates in the server; what waits goes on when told to."""
    for _ in range(2):
        crashed = _submit(deployment, repository, "crash")
        assert deployment.finished(crashed, client=client)["status"] == "failed"
    task = _submit(deployment, repository, "say done")
    eventually(lambda: client.get(task).get("wait"), "it waits")

    waits = client.get(task)["wait"]
    shown = _print(deployment, "control", "show").splitlines()
    _print(deployment, "control", "release", waits["gate"])
    ended = deployment.finished(task, client=client)
    limits = ("--silence-seconds", "400", "--tool-seconds", "300")
    _print(deployment, "task", "instruct", task, "say more", *limits)
    raised = deployment.finished(task, client=client)["config"]
    unknown = deployment.run("control", "release", "breaker:agent:nobody")

    assert (waits["reason"], waits["gate"]) == ("breaker", "breaker:agent:demo")
    assert any(line.startswith("breaker:agent:demo  shut") for line in shown), shown
    assert any(line.startswith("rate:agent:touchy") for line in shown), shown
    assert ended["status"] == "completed"
    assert (raised["silence_seconds"], raised["tool_seconds"]) == (400, 300)
    assert unknown.returncode == 3
