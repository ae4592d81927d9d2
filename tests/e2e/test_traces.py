"""One trace over all processes of a deployment, as a collector sees it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.collector import Collector, Span, collecting
from tests.support.deployment import Deployment, running
from tests.support.receiver import Receiver
from tests.support.repos import Repo

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
PASSWORD = "a-password-of-the-collector"  # noqa: S105
PROMPT = "say I begin\nwrite kept.txt: words-of-the-prompt\nsay done"

PARENTS = {
    "POST /api/v1/tasks": None,
    "task.queue": "POST /api/v1/tasks",
    "task.execute": "POST /api/v1/tasks",
    "task.clone": "task.execute",
    "task.run": "task.execute",
    "invoke_agent demo": "task.run",
    "execute_tool write": "invoke_agent demo",
    "task.record": "task.execute",
    "task.report": "task.execute",
    "webhook.deliver": "POST /api/v1/tasks",
    "POST": "webhook.deliver",
}
"""Each span of a run, and what it hangs on; None: on the caller's."""


async def test_one_trace_from_the_request_to_the_webhook() -> None:
    """
    A client's trace goes on through server, queue, worker, agent and tool and ends at the receiver
    of the webhook; the task names it. No prompt is in it, and nobody learns the password.
    """
    async with collecting() as collector, Receiver().listening() as receiver:
        with running(_settings(collector)) as deployment:
            document = await asyncio.to_thread(_run_a_task, deployment, receiver.url())
            (webhook,) = await receiver.wait_for(1)
            found = await collector.named(*PARENTS)
            log = deployment.log()

    of_trace = {span.name: span for span in collector.spans if span.trace_id == TRACE}
    assert set(PARENTS) <= set(of_trace)
    _check_places(of_trace)
    _check_times(of_trace)
    assert document["trace_id"] == TRACE
    assert webhook.headers["x-trace-id"] == TRACE
    assert webhook.headers["traceparent"] == f"00-{TRACE}-{of_trace['POST'].span_id}-01"
    assert {span.resource["codeforge.process"] for span in found.values()} == {"serve", "worker"}
    assert all(
        export.headers["authorization"] == f"Basic {PASSWORD}" for export in collector.exports
    )
    assert not any(b"words-of-the-prompt" in export.body for export in collector.exports)
    assert not any(PASSWORD.encode() in export.body for export in collector.exports)
    assert PASSWORD not in log


def _settings(collector: Collector) -> dict[str, str]:
    return {
        "CODEFORGE_TRACING__ENABLED": "true",
        "CODEFORGE_TRACING__ENDPOINT": collector.url,
        "CODEFORGE_TRACING__SAMPLING_RATE": "1",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Basic%20{PASSWORD}",
    }


def _run_a_task(deployment: Deployment, callback_url: str) -> dict[str, Any]:
    repository = Repo(deployment.repositories / "traced.git")
    repository.commit({"README.md": "# Test\n"}, message="First")
    body = {
        "repo_url": repository.url,
        "prompt": PROMPT,
        "callback_url": callback_url,
        "config": {"cli": "demo"},
    }
    with deployment.http() as http, deployment.client() as client:
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        task = http.post("/api/v1/tasks", json=body, headers=headers).json()["id"]
        return deployment.finished(task, client=client)


def _check_places(found: dict[str, Span]) -> None:
    for name, parent in PARENTS.items():
        wanted = CALLER if parent is None else found[parent].span_id
        assert found[name].parent_id == wanted, f"{name} does not hang on {parent}"
        assert found[name].error is None
    agent, tool = found["invoke_agent demo"].attributes, found["execute_tool write"].attributes
    task = found["task.execute"].attributes["task.id"]
    assert agent["gen_ai.operation.name"] == "invoke_agent"
    assert (agent["gen_ai.agent.name"], agent["gen_ai.conversation.id"]) == ("demo", task)
    assert int(agent["gen_ai.usage.output_tokens"]) > 0
    assert tool["gen_ai.operation.name"] == "execute_tool"
    assert (tool["gen_ai.tool.name"], bool(tool["gen_ai.tool.call.id"])) == ("write", True)
    assert {span.schema_url for span in found.values()} == {
        "https://opentelemetry.io/schemas/1.41.0"
    }


def _check_times(found: dict[str, Span]) -> None:
    """What waits ends where what runs begins, whatever process says so."""
    assert found["task.queue"].end <= found["task.execute"].start
    for name in ("task.clone", "task.run", "task.record", "task.report"):
        execute = found["task.execute"]
        assert execute.start <= found[name].start <= found[name].end <= execute.end
