"""One task from request to result, over the processes that an operator runs."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from pathlib import Path
from typing import Any

import httpx2
from standardwebhooks import Webhook

from codeforge.client import Client, Document
from tests.support.deployment import Deployment, eventually, processes_naming
from tests.support.receiver import Received, Receiver
from tests.support.repos import Repo, git

_FIRST = "say I begin\nwrite hello.py: print('hello')\nappend README.md: More."
_SECOND = "delete hello.py\nwrite bye.py: print('bye')"


def _submit(client: Client, repository: Repo, prompt: str, **members: Any) -> str:
    request = {"repo_url": repository.url, "prompt": prompt, "config": {"cli": "demo"}, **members}
    return str(client.submit(request)["id"])


async def test_a_task_its_follow_up_and_what_they_tell(
    deployment: Deployment, client: Client, repository: Repo, tmp_path: Path
) -> None:
    """
    Submit, follow, diff, instruct, follow, diff; each run ends with one webhook, signed twice.
    """
    async with Receiver().listening() as receiver:
        task = await asyncio.to_thread(
            _submit, client, repository, _FIRST, callback_url=receiver.url()
        )
        first = await asyncio.to_thread(_follow, client, task)
        _check_run(first, numbers_from=1)
        assert _files(client.diff(task)) == {"README.md": "modified", "hello.py": "added"}

        await asyncio.to_thread(client.instruct, task, _SECOND)
        second = await asyncio.to_thread(_follow, client, task, after=first[-1]["id"])
        _check_run(second, numbers_from=first[-1]["id"] + 1)
        assert _files(client.diff(task)) == {"README.md": "modified", "bye.py": "added"}
        assert _files(client.diff(task, iteration=1)) == {
            "README.md": "modified",
            "hello.py": "added",
        }

        webhooks = await receiver.wait_for(2)
        await deployment.settled()  # they are answered after they were recorded

    _check_patch(client.patch(task), repository, tmp_path)
    for number, received in enumerate(webhooks, start=1):
        _check_webhook(received, deployment.webhook_secret, task=task, iteration=number)
    assert [event["data"]["text"] for event in second if event["event"] == "text"] == [
        "I remember 1 earlier prompt(s)"
    ]


def test_promise_18_a_repeated_request_is_the_same_task(
    deployment: Deployment, client: Client, http: httpx2.Client, repository: Repo
) -> None:
    """The key makes a repeat safe; another body under the same key is a mistake."""
    body = {"repo_url": repository.url, "prompt": "say once", "config": {"cli": "demo"}}
    headers = {"Idempotency-Key": repository.path.name}

    answers = [http.post("/api/v1/tasks", json=body, headers=headers) for _ in range(3)]
    other = http.post("/api/v1/tasks", json={**body, "prompt": "say twice"}, headers=headers)
    document = deployment.finished(answers[0].json()["id"], client=client)

    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert {answer.json()["id"] for answer in answers} == {document["id"]}
    assert (other.status_code, other.json()["error"]) == (409, "idempotency_conflict")


def test_wait_holds_the_answer_until_the_task_is_finished(
    client: Client, http: httpx2.Client, repository: Repo
) -> None:
    """One call from request to result, for scripts."""
    body = {
        "repo_url": repository.url,
        "prompt": "say done",
        "config": {"cli": "demo"},
        "wait": 60,
    }

    answer = http.post("/api/v1/tasks", json=body)

    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["result"]) == ("completed", "done")


def test_a_cancel_ends_the_whole_tree(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """Children, daemons in sessions of their own, and what does not listen to signals."""
    task = _submit(client, repository, "fork\ndaemon\nignore-signals\nsay ready\nhang")
    eventually(lambda: _said(client, task, "ready"), "the agent has started its children")
    assert len(processes_naming(f"/{task}/")) >= 3

    client.cancel(task)
    document = deployment.finished(task, client=client)

    assert document["failure"]["reason"] == "canceled"
    assert processes_naming(f"/{task}/") == []


def test_the_work_of_a_cancelled_run_is_kept(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """And a follow-up goes on from it."""
    task = _submit(client, repository, "write half.txt: done\nsay ready\nhang")
    eventually(lambda: _said(client, task, "ready"), "the agent has written its file")

    client.cancel(task)
    deployment.finished(task, client=client)
    kept = _files(client.diff(task))
    client.instruct(task, "append half.txt: and the rest")
    document = deployment.finished(task, client=client)

    assert kept == {"half.txt": "added"}
    assert document["status"] == "completed"
    assert b"+done\n+and the rest" in client.patch(task)


def test_a_retry_repeats_the_iteration_from_before_it(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """What the failed run wrote is not there any more."""
    task = _submit(client, repository, "append log.txt: line\nfail")
    deployment.finished(task, client=client)

    answer = client.retry(task)
    document = deployment.finished(task, client=client)

    assert answer["iteration"] == document["iteration"] == 1
    assert client.diff(task)["totals"] == {"files": 1, "additions": 1, "deletions": 0}


def _follow(client: Client, task: str, *, after: int = 0) -> list[Document]:
    return list(client.follow(task, after=after))


def _said(client: Client, task: str, text: str) -> bool:
    events = client.events(task, limit=1000)["events"]
    return any(e["event"] == "text" and e["data"]["text"] == text for e in events)


def _check_run(events: list[Document], *, numbers_from: int) -> None:
    """Numbered without a hole, and the final event is the last one, behind its state."""
    numbers = [event["id"] for event in events]
    assert numbers == list(range(numbers_from, numbers_from + len(numbers)))
    assert [event["event"] for event in events[-2:]] == ["state", "task_completed"]
    assert sum(event["event"] == "task_completed" for event in events) == 1


def _files(diff: Document) -> dict[str, str]:
    return {file["path"]: file["status"] for file in diff["files"]}


def _check_patch(patch: bytes, repository: Repo, directory: Path) -> None:
    """It turns the base into the work."""
    git("clone", "--quiet", str(repository.path), "copy", cwd=directory)
    git("apply", "-", cwd=directory / "copy", stdin=patch)
    assert (directory / "copy" / "bye.py").read_text() == "print('bye')\n"
    assert not (directory / "copy" / "hello.py").exists()


def _check_webhook(received: Received, secret: str, *, task: str, iteration: int) -> None:
    """By the library of Standard Webhooks, and by hand for the first version's signature."""
    expected = "sha256=" + hmac.new(secret.encode(), received.body, "sha256").hexdigest()
    assert received.headers["x-signature-256"] == expected
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    Webhook(secret).verify(received.body, dict(received.headers))
    body = json.loads(received.body)
    assert (body["type"], body["task_id"], body["iteration"]) == (
        "task.completed",
        task,
        iteration,
    )
