"""What the scripts count for the metrics: each thing once, however often a reply is lost."""

from __future__ import annotations

import pytest

from internal.agent.model import Usage
from internal.task.model import Reason
from internal.task.queue import Lane
from internal.task.state import State
from tests.support.queue_lab import Lab, published

pytestmark = pytest.mark.live_keys


@pytest.fixture(autouse=True)
def each_call_twice(lab: Lab) -> None:
    """As if every first reply was lost."""
    lab.twice = True


async def counters(lab: Lab) -> dict[str, str]:
    found: dict[str, str] = (await lab.world()).get("counters")
    return found


async def test_fault_a23_a_run_counts_under_the_status_it_ends_with(lab: Lab) -> None:
    """Not under the one it was loaded with: neither its number nor its duration."""
    await lab.create()
    await lab.run_next()
    await lab.create()
    await lab.run_next(failed=Reason.TIMEOUT)

    found = await counters(lab)
    assert {name for name in found if name.startswith("tasks:")} == {
        "tasks:completed",
        "tasks:failed",
    }
    assert {name.split(":")[1] for name in found if name.startswith("duration:")} == {
        "completed",
        "failed",
    }
    assert found["failures:timeout"] == "1"


async def test_a_run_waits_once_whatever_becomes_of_its_workers(lab: Lab) -> None:
    """The wait is that of its first claim; later attempts were no wait of the queue's."""
    await lab.create()
    await lab.sleep(3)
    claim = await lab.take()
    await lab.queue.hand_back(claim, lab.operation(), reason="shutdown")
    await lab.sleep(100)
    await lab.take("w2")

    found = await counters(lab)
    assert found["queue_wait:agent:5"] == "1"
    assert float(found["queue_wait:agent:sum"]) == 3
    assert found["handbacks:shutdown"] == "1"


async def test_lost_workers_and_repeats_are_counted_by_reason(lab: Lab) -> None:
    """A run out of lives is one failure more."""
    ref = await lab.create()
    for worker in ("w1", "w2"):
        await lab.take(worker)
        await lab.lose(worker)
    await lab.take("w3", lane=Lane.ALONE)
    await lab.lose("w3")
    await lab.create()
    claim = await lab.take("w4")
    await lab.queue.hand_back(
        claim, lab.operation(), reason=Reason.RATE_LIMITED, delay_seconds=5, repeat=True
    )

    found = await counters(lab)
    assert await lab.status(ref) == State.FAILED
    assert found["leases_lost:worker_lost"] == "3"
    assert found["failures:worker_lost"] == "1"
    assert found["retries:rate_limited"] == "1"
    assert "handbacks:rate_limited" not in found


async def test_what_an_attempt_used_counts_although_it_is_repeated(lab: Lab) -> None:
    """In the task's total, in its tenant's day and in the deployment's counters, each once."""
    await lab.create()
    used = Usage(input_tokens=7, output_tokens=5, cache_read_tokens=3, cost_usd=0.25, model="m")
    for _ in range(2):
        await lab.queue.hand_back(
            await lab.take(), lab.operation(), reason="rate_limited", repeat=True, usage=used
        )
    await lab.queue.hand_back(await lab.take(), lab.operation(), reason="shutdown")
    waiting = (await lab.take()).task

    days = [day for _, day in (await lab.world()).matching(r"tenant:default:usage:.*")]
    found = await counters(lab)
    assert (waiting.usage_total.input_tokens, waiting.usage_total.cost_usd) == (14, 0.5)
    assert (waiting.usage.input_tokens, waiting.usage_total.model) == (0, "m")
    assert found["tokens:demo:cache_read_tokens"] == "6"
    assert float(found["cost_usd:demo"]) == 0.5
    assert [day["output_tokens"] for day in days] == ["10"]


async def test_a_run_that_never_began_has_no_duration(lab: Lab) -> None:
    """It counts as failed, and does not make runs look short."""
    ref = await lab.create()
    await lab.store.cancel(ref)

    found = await counters(lab)
    assert found["tasks:failed"] == found["failures:canceled"] == "1"
    assert not any(name.startswith("duration:") for name in found)


async def test_workspaces_and_pull_requests_are_counted_by_how_they_came(lab: Lab) -> None:
    """The time of a clone is what the worker measured, in the bucket it falls into."""
    ref = await lab.create()
    claim = await lab.take()
    fields = {"base_commit": "b" * 40, "clone_mode": "spare", "clone_seconds": "0.240"}
    await lab.queue.advance(claim, State.RUNNING, fields, lab.operation())
    await lab.finish(claim)
    for updated in (False, True):
        await lab.publish(ref)
        claim = await lab.take(lane=Lane.PUBLISH)
        await lab.queue.finish_pr(claim, published(updated=updated), lab.operation())

    found = await counters(lab)
    assert found["clone:spare:0.25"] == "1"
    assert float(found["clone:spare:sum"]) == 0.24
    assert found["pull_requests:created"] == found["pull_requests:updated"] == "1"


async def test_every_kind_of_token_is_counted(lab: Lab) -> None:
    """What is read from a cache is most of what an agent uses."""
    await lab.create()
    usage = Usage(
        input_tokens=1, output_tokens=2, cache_read_tokens=30, cache_creation_tokens=4, cost_usd=0.5
    )
    await lab.run_next(usage=usage)

    found = await counters(lab)
    kinds = {name.split(":")[2]: number for name, number in found.items() if "tokens:" in name}
    assert kinds == {
        "input_tokens": "1",
        "output_tokens": "2",
        "cache_read_tokens": "30",
        "cache_creation_tokens": "4",
    }
    assert float(found["cost_usd:demo"]) == 0.5
