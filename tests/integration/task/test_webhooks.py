"""Which webhooks a change of a task writes, for whom, and what erases them."""

from __future__ import annotations

import pytest

from internal.task.model import Reason
from internal.task.queue import Lane
from tests.support.queue_lab import Lab, published
from tests.support.world import World, webhook_body

pytestmark = pytest.mark.live_keys  # outboxes with something in them

EVERYTHING = "task.awaiting_instruction task.completed task.failed task.pr_created"


def told(world: World) -> list[tuple[str, str]]:
    """Endpoint ("" for the callback_url) and event of each delivery, in order of their events."""
    found = [record for _, record in world.matching("delivery:.*")]
    found.sort(key=lambda record: (record["endpoint"], int(record["event_id"].split("_")[2])))
    return [(record["endpoint"], record["event"].removeprefix("task.")) for record in found]


async def publish(lab: Lab, ref: str) -> None:
    """A create-pr run that succeeds."""
    await lab.publish(ref)
    claim = await lab.take(lane=Lane.PUBLISH)
    await lab.queue.finish_pr(claim, published(), lab.operation())


async def test_every_endpoint_gets_the_events_it_chose(lab: Lab) -> None:
    """
    In the step that makes the change, once however often the step is sent; a callback_url gets
    everything but the follow-up.
    """
    lab.twice = True
    await lab.subscribe("all", EVERYTHING)
    await lab.subscribe("failures", "task.failed")
    await lab.subscribe("off", "")
    await lab.subscribe("other", EVERYTHING, tenant="b")
    ref = await lab.create()
    await lab.run_next()
    await publish(lab, ref)
    await lab.instruct(ref)

    await lab.run_next(failed=Reason.TIMEOUT)

    assert told(await lab.world()) == [
        *[("", "completed"), ("", "pr_created"), ("", "failed")],
        *[("all", "completed"), ("all", "pr_created")],
        *[("all", "awaiting_instruction"), ("all", "failed")],
        ("failures", "failed"),
    ]


async def test_an_endpoint_needs_no_callback_url(lab: Lab) -> None:
    """
    The event is the same one, with the same id and body, for everybody.
    """
    await lab.subscribe("e1", "task.completed")
    await lab.subscribe("e2", "task.completed")
    await lab.create(callback=False)

    await lab.run_next()

    world = await lab.world()
    records = [record for _, record in world.matching("delivery:.*")]
    assert told(world) == [("e1", "completed"), ("e2", "completed")]
    assert len({record["event_id"] for record in records}) == 1
    assert world.get("outbox").keys() == {record["id"] for record in records}


async def test_a_follow_up_says_that_it_waits(lab: Lab) -> None:
    """
    It has the iteration that begins, and no time of an end.
    """
    await lab.subscribe("e1", "task.awaiting_instruction")
    ref = await lab.create(callback=False)
    await lab.run_next()

    await lab.instruct(ref)

    world = await lab.world()
    ((_, record),) = world.matching("delivery:.*")
    body = webhook_body(world, record)
    assert (body["type"], body["status"]) == (
        "task.awaiting_instruction",
        "awaiting_instruction",
    )
    assert body["iteration"] == 2
    assert "finished_at" not in body


async def test_a_lost_worker_is_no_event_for_receivers(lab: Lab) -> None:
    """
    A follow-up that goes back into its queue was told already.
    """
    await lab.subscribe("e1", "task.awaiting_instruction")
    ref = await lab.create(callback=False)
    await lab.run_next()
    await lab.instruct(ref)
    await lab.take()

    await lab.lose()

    assert await lab.status(ref) == "awaiting_instruction"
    assert told(await lab.world()) == [("e1", "awaiting_instruction")]


async def test_deleting_a_task_erases_what_was_to_be_told_of_it(lab: Lab) -> None:
    """
    Bodies, deliveries, their place in the outbox and in every list; other tasks keep theirs.
    """
    lab.twice = True
    await lab.subscribe("e1", EVERYTHING)
    ref = await lab.create()
    await lab.run_next()
    await lab.create()
    await lab.run_next()

    await lab.store.delete(ref)

    world = await lab.world()
    assert not [name for name in world.values if "t1" in name and not name.endswith(":deleted")]
    assert {record["task_id"] for _, record in world.matching("delivery:.*")} == {"t2"}
    assert len(world.get("outbox")) == len(world.get("tenant:default:deliveries")) == 2


async def test_a_tenants_list_of_deliveries_is_bounded(lab: Lab) -> None:
    """
    What is past the newest 10,000 or 30 days leaves the list; what ended goes with its record, what
    waits is still delivered.
    """
    await lab.create()
    await lab.run_next()
    now = await lab.now()
    old = {f"evt_old{number}_1": now - number - 1 for number in range(10_001)}
    await lab.redis.zadd(lab.keys.tenant_deliveries("default"), old)
    await lab.redis.hset(lab.keys.delivery("evt_old10000_1"), "status", "delivered")
    await lab.redis.hset(lab.keys.delivery("evt_old9999_1"), "tenant", "default")
    await lab.create()

    await lab.run_next()

    index = (await lab.world()).get("tenant:default:deliveries")
    assert len(index) == 10_000
    assert "evt_old10000_1" not in index
    assert not await lab.redis.exists(lab.keys.delivery("evt_old10000_1"))
    assert await lab.redis.exists(lab.keys.delivery("evt_old9999_1"))

    await lab.sleep(30 * 86_400 + 60)
    await lab.create()
    await lab.run_next()

    assert len((await lab.world()).get("tenant:default:deliveries")) == 10_000 - 64 + 1
    await lab.redis.delete(
        lab.keys.tenant_deliveries("default"), lab.keys.delivery("evt_old9999_1")
    )


async def test_fault_b21_the_status_told_is_that_of_the_event(lab: Lab) -> None:
    """
    A pull request is not told as `completed`, and each event says its type, its run and its id.
    """
    ref = await lab.create()
    await lab.run_next()
    await publish(lab, ref)

    world = await lab.world()
    records = [record for _, record in world.matching("delivery:.*")]
    told = [webhook_body(world, record) for record in records]
    assert {(body["type"], body["status"], body["iteration"]) for body in told} == {
        ("task.completed", "completed", 1),
        ("task.pr_created", "pr_created", 1),
    }
    assert len({record["event_id"] for record in records}) == 2


async def test_fault_a20_a_pull_request_is_told_and_a_body_outlives_its_worker(lab: Lab) -> None:
    """
    The pull request is an event of its own, and everything that is to be sent lies in Redis once
    the change is made: no process has to live for it.
    """
    ref = await lab.create()
    await lab.run_next()

    await publish(lab, ref)

    world = await lab.world()
    body = webhook_body(world, world.get("delivery:evt_t1_" + world.document(ref)["seq"]))
    assert (body["type"], body["status"]) == ("task.pr_created", "pr_created")
    assert (body["pr_url"], body["pr_number"]) == ("https://forge/7", 7)
    assert body["changes_summary"]["diff_stats"] == "+1 -0"
    assert "input_tokens" in body["usage"]
