"""What the end of a run writes: the record, the events, the webhook, the counters."""

from __future__ import annotations

import json
import math

import pytest

from internal.agent.model import Usage
from internal.errors import Fenced
from internal.task.event import new_event
from internal.task.model import Outcome, Reason
from internal.task.queue import Lane
from tests.support.queue_lab import Lab, outcome_of, published
from tests.support.world import webhook_body

pytestmark = pytest.mark.live_keys

SPENT = Usage(input_tokens=10, output_tokens=5, cost_usd=0.25, duration_seconds=3.5, turns=2)


async def test_fault_b15_a_completed_run_is_recorded_in_one_step(lab: Lab) -> None:
    """Tail, state and final event in this order; document and row say the same."""
    ref = await lab.create()
    claim = await lab.take()
    await lab.advance(claim)
    await lab.sleep(12)

    await lab.finish(claim, usage=SPENT, tail=[new_event("stream", "text", {"text": "bye"})])

    world = await lab.world()
    names = ["stream/text", "system/state", "result/task_completed"]
    assert world.names(ref)[-3:] == names
    task = await lab.store.find("default", "t1", with_iterations=True)
    assert task is not None
    assert task.iterations is not None
    row = task.iterations[0]
    assert (task.status, task.result, task.usage) == ("completed", 'did "it" / 1', SPENT)
    assert (row.status, row.result, row.usage) == ("completed", 'did "it" / 1', SPENT)
    assert row.work is not None
    assert (row.work.claim, row.work.home) == (claim.claim, "h1")
    assert task.started_at == row.started_at
    assert row.ended_at == task.finished_at
    assert task.finished_at is not None
    assert task.started_at is not None
    assert (task.finished_at - task.started_at).total_seconds() == 12
    stored = await lab.store.stored_diff("default", "t1", 1)
    assert stored == f"diff {claim.claim}".encode()


async def test_times_are_plain_numbers_also_when_they_are_round(lab: Lab) -> None:
    """Redis writes 1795100000000 as 1.7951e+12 when a script hands it a number."""
    ref = await lab.create()
    await lab.beat("w1", "h1", [])
    await lab.run_next()

    world = await lab.world()
    document = world.document(ref)
    for name in ("created_at", "started_at", "finished_at"):
        assert document[name] == "1795100000000"
    assert world.get("worker:w1")["seen"] == "1795100000000"
    assert world.get("contact")["last"] == "1795100000000"
    assert all("e+" not in value for value in document.values())


async def test_usage_adds_up_over_follow_ups_and_retries(lab: Lab) -> None:
    """`usage` is this run's, `usage_total` all runs'; a retry does not take back what was spent."""
    ref = await lab.create()
    await lab.run_next(usage=SPENT)
    await lab.instruct(ref)
    await lab.run_next(usage=SPENT, failed=Reason.TIMEOUT)
    await lab.retry(ref)
    assert (await lab.store.find("default", "t1")).usage == Usage()  # type: ignore[union-attr]  # it is there
    await lab.run_next(usage=SPENT)

    task = await lab.store.find("default", "t1")
    assert task is not None
    assert task.usage == SPENT
    assert (task.usage_total.input_tokens, task.usage_total.cost_usd) == (30, 0.75)
    today = await lab.store.usage_of_day("default", "2026-11-19")
    assert (today["input_tokens"], float(today["cost_usd"])) == ("30", 0.75)
    counters = (await lab.world()).get("counters")
    assert counters["tokens:demo:output_tokens"] == "15"
    assert (counters["tasks:completed"], counters["tasks:failed"]) == ("2", "1")


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=10**30, output_tokens=-5, cost_usd=-1.0),
        Usage(input_tokens=2**63, cost_usd=math.nan, duration_seconds=math.inf),
        Usage(input_tokens=3.7, turns="many"),  # type: ignore[arg-type]  # as a broken CLI says it
        Usage(input_tokens=None, cost_usd=None),  # type: ignore[arg-type]  # as a broken CLI says it
    ],
)
async def test_no_number_of_an_agent_keeps_a_run_from_ending(lab: Lab, usage: Usage) -> None:
    """A script that raises half-way leaves half its writes: numbers are made harmless before."""
    ref = await lab.create()
    lab.twice = True

    assert await lab.run_next(usage=usage) == "completed"

    assert (await lab.world()).get("leases") == {}
    total = json.loads((await lab.document(ref))["usage_total"])
    assert all(0 <= total[name] <= 1e12 for name in ("input_tokens", "output_tokens", "cost_usd"))


async def test_broken_text_of_an_agent_is_stored_as_far_as_it_goes(lab: Lab) -> None:
    """Lone surrogates, control characters, quotes: the record and the webhook stay valid."""
    await lab.create()
    claim = await lab.take()
    await lab.advance(claim)
    text = 'a\ud800b\x00\x1b"\\/ü\u2028'

    await lab.queue.finish(claim, Outcome(result=text), "op")

    world = await lab.world()
    assert world.document("default/t1")["result"] == 'a?b\x00\x1b"\\/ü\u2028'
    ((_, delivery),) = world.matching("delivery:.*")
    assert webhook_body(world, delivery)["result"] == 'a?b\x00\x1b"\\/ü\u2028'


async def test_every_final_state_has_its_webhook(lab: Lab) -> None:
    """completed, failed and pr_created, each once, with the members the contract names."""
    lab.twice = True
    ref = await lab.create(trace_id='x"y')
    await lab.run_next(usage=SPENT)
    await lab.publish(ref)
    claim = await lab.take(lane=Lane.PUBLISH)
    await lab.queue.finish_pr(claim, published(updated=True), "pr")
    await lab.instruct(ref)
    await lab.run_next(failed=Reason.TIMEOUT)

    world = await lab.world()
    bodies = sorted(
        (int(match[1]), webhook_body(world, delivery))
        for match, delivery in world.matching(r"delivery:evt_t1_(\d+)")
    )
    completed, created, failed = (body for _, body in bodies)
    assert [b["type"] for _, b in bodies] == ["task.completed", "task.pr_created", "task.failed"]
    assert completed["result"] == 'did "it" / 1'
    assert completed["usage"]["input_tokens"] == 10
    assert completed["changes_summary"]["diff_stats"] == "+1 -0"
    assert (created["status"], created["pr_number"], created["pr_url"]) == (
        "pr_created",
        7,
        "https://forge/7",
    )
    assert (failed["iteration"], failed["error"]) == (2, "it timeout")
    for body in (completed, created, failed):
        assert body["labels"] == {"a/b": '"c" ü'}
        assert body["trace_id"] == 'x"y'
        assert body["task_url"] == "http://x/t1"
        assert body["finished_at"] == "2026-11-19T14:53:20.000Z"


async def test_the_histogram_counts_runs_not_their_waits(lab: Lab) -> None:
    """From the first claim of the run to its end, in version A's buckets."""
    await lab.create()
    await lab.sleep(500)
    claim = await lab.take()
    await lab.advance(claim)
    await lab.sleep(45)

    await lab.finish(claim)

    counters = (await lab.world()).get("counters")
    assert float(counters["duration:completed:sum"]) == 45
    assert {name for name in counters if name.startswith("duration:")} == {
        "duration:completed:sum",
        "duration:completed:60",
    }
    assert float(counters["queue_wait:agent:sum"]) == 500
    assert counters["queue_wait:agent:1800"] == "1"


@pytest.mark.parametrize("later", ["nothing", "instruct", "retry", "instruct and run", "cancelled"])
async def test_a_report_repeated_after_a_follow_up_is_still_known(lab: Lab, later: str) -> None:
    """Else the worker would take its own recorded work for a zombie's, and erase it."""
    ref = await lab.create()
    claim = await lab.take()
    await lab.advance(claim)
    await lab.finish(claim, failed=Reason.AGENT_FAILED, operation="the end")
    if later == "retry":
        await lab.retry(ref)
    elif later != "nothing":
        await lab.instruct(ref)
    if later == "instruct and run":
        await lab.run_next("w2")
    if later == "cancelled":
        await lab.store.cancel(ref)

    state = await lab.queue.finish(claim, outcome_of(claim), "the end")

    assert state == await lab.status(ref)
    with pytest.raises(Fenced):
        await lab.finish(claim, operation="another end")


async def test_a_retry_without_work_leaves_no_diff_of_the_run_before(lab: Lab) -> None:
    """What `/diff` shows belongs to the recorded work."""
    ref = await lab.create()
    await lab.run_next(failed=Reason.AGENT_FAILED)
    assert await lab.store.stored_diff("default", "t1", 1)
    await lab.retry(ref)

    await lab.run_next(failed=Reason.CLONE_FAILED, work=False)

    assert await lab.store.stored_diff("default", "t1", 1) is None
    assert "changes" not in await lab.document(ref)


async def test_a_second_create_pr_updates_the_document(lab: Lab) -> None:
    """After a follow-up the same pull request is updated; the event says so."""
    ref = await lab.create()
    await lab.run_next()
    for updated in (False, True):
        await lab.publish(ref)
        claim = await lab.take(lane=Lane.PUBLISH)
        await lab.begin_push(claim)
        await lab.queue.finish_pr(claim, published(updated=updated), f"pr{updated}")

    world = await lab.world()
    assert world.document(ref)["status"] == "pr_created"
    assert [e["data"]["updated"] for e in world.events(ref) if e["event"] == "pr_created"] == [
        False,
        True,
    ]
