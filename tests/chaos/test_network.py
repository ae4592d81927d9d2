"""The network between processes and Redis fails in the middle of a run: everything happens once."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import httpx2
import pytest

from internal.task.state import State
from tests.support.chaos_round.network import network_before
from tests.support.chaos_round.plan import Fault
from tests.support.chaos_site import Site
from tests.support.receiver import Receiver
from tests.support.waiting import until

pytestmark = pytest.mark.chaos

_LENGTH = 0.4
"""Of what a network does at most: 5 s of silence, or answers 2 s late."""


@pytest.mark.parametrize("fault", [Fault.BLACKHOLE, Fault.HALF_OPEN, Fault.DELAY])
async def test_promise_21_a_failing_network_doubles_nothing_and_is_recovered_from(
    site: Site, fault: Fault
) -> None:
    """
    One run, each event once, one webhook id, one task for a key that was repeated; the viewer's one
    stream goes on, and no process needs a restart. Each wait below has its limit.
    """
    url = urlsplit(site.redis_url)
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Receiver().listening())
        networks = [await stack.enter_async_context(network_before(url.path)) for _ in range(2)]
        at = [f"redis://:{url.password}@127.0.0.1:{network.port}/0" for network in networks]
        await site.start(REDIS__URL=at[0], WORKERS__LEASE_SECONDS="30")
        server = await site.serve(REDIS__URL=at[1])
        task = await site.submit("say begun\nsleep 4\nsay done", callback_url=receiver.url())
        await site.until_said(task, "begun")
        http = await stack.enter_async_context(site.client(server.url))
        stream = await stack.enter_async_context(http.stream("GET", f"/api/v1/tasks/{task}/stream"))

        for network in networks:
            network.fail(fault, _LENGTH)
        site.tasks.append(await _submitted(site, http))
        found = await site.finished(task)
        lines = [line async for line in stream.aiter_lines()]
        requests = await receiver.wait_for(1)
        await site.settle()

    log = await site.events(task)
    assert (found.status, found.attempt, found.lost) == (State.COMPLETED, 1, 0)
    assert await site.said(task) == ["begun", "done"]
    assert [int(line[3:]) for line in lines if line.startswith("id:")] == [e["id"] for e in log]
    assert {request.headers["webhook-id"] for request in requests} == {f"evt_{task}_{len(log)}"}
    assert len((await site.world()).tasks) == 2
    assert all(process.exit_status is None for process in site.processes)


async def _submitted(site: Site, http: httpx2.AsyncClient) -> str:
    """A task over the network that fails, as a client does that repeats with its key."""
    request = {"repo_url": site.repo.url, "prompt": "say hello", "config": {"cli": "demo"}}
    answers: list[httpx2.Response] = []

    async def is_accepted() -> bool:
        headers = {"Idempotency-Key": "once"}
        answers.append(await http.post("/api/v1/tasks", json=request, headers=headers))
        assert answers[-1].status_code in (200, 201, 503), answers[-1].text
        return answers[-1].is_success

    await until("it is accepted", is_accepted)
    return str(json.loads(answers[-1].text)["id"])
