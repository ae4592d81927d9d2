"""A worker that dies between the end of a run and its webhook: the outbox has it already."""

from __future__ import annotations

import json

import pytest

from internal.task.state import State
from tests.support.chaos_site import Site
from tests.support.receiver import Receiver

pytestmark = pytest.mark.chaos


async def test_a_webhook_outlives_the_worker_that_finished_the_run(site: Site) -> None:
    """It was written with the final event, so whoever comes next delivers it, once."""
    async with Receiver().listening() as receiver:
        worker = await site.start(program="mute")
        task = await site.submit("say done", callback_url=receiver.url())
        assert (await site.finished(task)).status is State.COMPLETED
        worker.kill()
        assert receiver.requests == []

        await site.start()
        (received,) = await receiver.wait_for(1)

    final = (await site.events(task))[-1]
    assert received.headers["webhook-id"] == f"evt_{task}_{final['id']}"
    body = json.loads(received.body)
    assert (body["type"], body["task_id"], body["result"]) == ("task.completed", task, "done")
