"""Registered endpoints from the command line to a receiver, over the processes of `up`."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

from codeforge.client import Client
from tests.support.deployment import Deployment
from tests.support.receiver import Received, Receiver, Reply
from tests.support.repos import Repo

_PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


async def run(deployment: Deployment, *words: str, status: int = 0) -> Any:
    """What `codeforge webhooks ... --json` prints."""
    done = await asyncio.to_thread(deployment.run, "webhooks", *words, "--json")
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


async def test_an_endpoint_from_add_to_remove(
    deployment: Deployment, client: Client, repository: Repo
) -> None:
    """
    Add, test, a task, rotate, another task, disable, redeliver, remove; every request verifies,
    with the library and with the code of the documentation.
    """
    async with Receiver().listening() as receiver:
        made = await run(deployment, "add", receiver.url(), "--event", "task.completed")
        tested = await run(deployment, "test", made["id"])
        first = await _finish(client, repository)
        await receiver.wait_for(2)
        rotated = await run(deployment, "rotate-secret", made["id"])
        await _finish(client, repository)
        requests = await receiver.wait_for(3)
        (row,) = (await run(deployment, "deliveries", "--task", first))["deliveries"]
        await run(deployment, "redeliver", row["id"])
        await receiver.wait_for(4)
        await deployment.settled()
        off = await run(deployment, "change", made["id"], "--disable")
        removed = await asyncio.to_thread(deployment.run, "webhooks", "remove", made["id"])

    assert tested["status"] == "delivered"
    assert (off["disabled_reason"], removed.returncode) == ("operator", 0)
    assert [request.headers["x-codeforge-event"] for request in requests] == [
        "webhook.test",
        *["task.completed"] * 3,
    ]
    assert requests[3].headers["webhook-id"] == requests[1].headers["webhook-id"]
    for request in requests[:2]:
        check_signature(made["secret"], request)
    for request in requests[2:]:  # whichever of the two the receiver has
        check_signature(made["secret"], request)
        check_signature(rotated["secret"], request)


async def test_a_test_that_fails_says_why(deployment: Deployment) -> None:
    """
    Exit code 1, and what the receiver answered.
    """
    async with Receiver().listening() as receiver:
        receiver.answer(Reply(status=410, body=b"moved to the moon"))
        made = await run(deployment, "add", receiver.url())

        tested = await run(deployment, "test", made["id"], status=1)

        assert (tested["status"], tested["reason"]) == ("failed", "http_410")
        assert tested["attempts"][0]["answer"] == "moved to the moon"
        listed = await asyncio.to_thread(deployment.run, "webhooks", "list")
        assert f"{made['id']}  off (gone)" in listed.stdout
        await asyncio.to_thread(deployment.run, "webhooks", "remove", made["id"])


def check_signature(secret: str, request: Received) -> None:
    """As a receiver would, in both ways that the documentation names."""
    example = re.search(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {}
    exec(example[1], names)  # noqa: S102 - our own documentation

    assert Webhook(secret).verify(request.body, dict(request.headers))
    assert names["is_from_codeforge"](secret, request.headers, request.body)
    assert not names["is_from_codeforge"](secret, request.headers, request.body + b" ")
    for signature in ("", "nonsense", "v1,ü v2,x"):
        forged = {**request.headers, "webhook-signature": signature}
        assert not names["is_from_codeforge"](secret, forged, request.body)


async def _finish(client: Client, repository: Repo) -> str:
    body = {"repo_url": repository.url, "prompt": "say done", "config": {"cli": "demo"}}
    task = (await asyncio.to_thread(client.submit, {**body, "wait": 60}))["id"]
    return str(task)
