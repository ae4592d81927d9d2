"""A trace from the request on: who may continue one, and where the task shows it."""

from __future__ import annotations

import httpx2
import pytest

from internal.task.model import Failure, Reason
from tests.support.collector import Collector
from tests.support.service import Service, body, failed

pytestmark = pytest.mark.live_keys

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"
OTHER = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_fault_a23_the_task_shows_its_trace(
    service: Service, client: httpx2.AsyncClient, tracing: Collector
) -> None:
    """
    It is stored with the task, not only in the memory of whoever made it.
    """
    made = await client.post("/api/v1/tasks", json=body())

    document = (await client.get(made.headers["location"])).json()
    found = await tracing.named("POST /api/v1/tasks")
    assert document["trace_id"] == found["POST /api/v1/tasks"].trace_id
    assert (await service.claim()).traceparent == (
        f"00-{document['trace_id']}-{found['POST /api/v1/tasks'].span_id}-01"
    )


async def test_a_callers_trace_is_kept_also_without_tracing(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    The task names it, and its run and its webhook get it as it came.
    """
    made = await client.post("/api/v1/tasks", json=body(), headers={"traceparent": CALLER})

    document = (await client.get(made.headers["location"])).json()
    assert document["trace_id"] == TRACE
    assert (await service.claim()).traceparent == CALLER


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", "00-zz-b7ad6b7169203331-01")],
        [("traceparent", CALLER.upper())],
        [("traceparent", CALLER), ("traceparent", CALLER)],
        [("tracestate", "x=y")],
    ],
)
async def test_what_is_no_trace_is_ignored(
    service: Service, client: httpx2.AsyncClient, headers: list[tuple[str, str]]
) -> None:
    """
    The request is as good as any other.
    """
    made = await client.post("/api/v1/tasks", json=body(), headers=headers)

    assert made.status_code == 201
    assert "trace_id" not in (await client.get(made.headers["location"])).json()
    assert (await service.claim()).traceparent is None


async def test_each_run_is_in_the_trace_of_its_own_request(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    A follow-up days later is not a part of the first trace; one that names none stays in the last.
    """
    made = await client.post("/api/v1/tasks", json=body(), headers={"traceparent": CALLER})
    path = made.headers["location"]
    await service.finish(await service.claim())

    follow_up = {"traceparent": f"00-{OTHER}-00f067aa0ba902b7-00"}
    await client.post(f"{path}/instruct", json={"prompt": "and now?"}, headers=follow_up)
    second = await service.claim()
    assert (await client.get(path)).json()["trace_id"] == OTHER
    await service.finish(second, failed(Failure(reason=Reason.TIMEOUT, message="timed out")))
    await client.post(f"{path}/retry")
    third = await service.claim()

    assert second.traceparent == follow_up["traceparent"]
    assert third.traceparent == follow_up["traceparent"]


async def test_a_cancelled_follow_up_gives_the_document_its_trace_back(
    service: Service, client: httpx2.AsyncClient
) -> None:
    """
    What was delivered in the first trace stays delivered in it.
    """
    made = await client.post("/api/v1/tasks", json=body(), headers={"traceparent": CALLER})
    path = made.headers["location"]
    await service.finish(await service.claim())

    follow_up = {"traceparent": f"00-{OTHER}-00f067aa0ba902b7-01"}
    await client.post(f"{path}/instruct", json={"prompt": "and now?"}, headers=follow_up)
    await client.post(f"{path}/cancel")

    assert (await client.get(path)).json()["trace_id"] == TRACE


async def test_what_a_client_does_wrong_is_no_failed_span(
    client: httpx2.AsyncClient, tracing: Collector
) -> None:
    """
    Spans are named by the route, never by what was sent; the status is with them.
    """
    missing = f"/api/v1/tasks/{'01' * 13}"
    assert (await client.get(missing)).status_code == 404
    assert (await client.request("BREW", missing)).status_code == 405

    found = await tracing.named("GET /api/v1/tasks/{task_id}", "other /api/v1/tasks/{task_id}")
    for entry in found.values():
        assert entry.error is None
        assert entry.kind == "server"
        assert entry.attributes["http.route"] == "/api/v1/tasks/{task_id}"
    assert found["GET /api/v1/tasks/{task_id}"].attributes["http.response.status_code"] == 404


async def test_strangers_and_machines_have_no_span(
    service: Service, client: httpx2.AsyncClient, tracing: Collector
) -> None:
    """
    Nobody without a token makes us record, and health checks would drown the rest.
    """
    async with service.client(token=None) as stranger:
        await stranger.get("/api/v1/stats", headers={"traceparent": CALLER})
        for path in ("/health", "/ready", "/metrics", "/api/docs"):
            await stranger.get(path)
    await client.get("/api/v1/stats")

    await tracing.named("GET /api/v1/stats")
    assert [entry.name for entry in tracing.spans] == ["GET /api/v1/stats"]
    assert tracing.spans[0].trace_id != TRACE
