"""Pauses as the queue has them: what they give up, what they keep, and where a resume leads."""

from __future__ import annotations

import pytest

from internal.agent.model import Usage
from internal.task.model import Priority, Reason
from internal.task.queue import Lane
from tests.support.queue_lab import Lab, published

pytestmark = pytest.mark.live_keys

REF = "default/t1"
_USED = Usage(input_tokens=100, output_tokens=10, cost_usd=0.5)


async def test_a_paused_task_holds_no_gate_and_waits_at_none(lab: Lab) -> None:
    """Its repository is free at once, and it does not come by itself, whatever opens."""
    lab.twice = True
    await lab.store.set_limits({"repo:*": 1})
    first, second = await lab.take_new("default"), await lab.create()
    assert await lab.claim() is None  # the second one waits at the gate
    await lab.store.pause(second)
    await lab.store.pause(REF)
    await lab.suspend(first)

    world = await lab.world()
    assert await lab.claim() is None
    assert not world.get("gate:repo:default:r:held")
    assert not world.get("gates:parked")
    assert not world.get("queued")
    await lab.store.resume(second)
    assert (await lab.take()).task.id == "t2"


async def test_a_pause_leaves_a_wait_for_a_time(lab: Lab) -> None:
    """What waited to be repeated may run as soon as it is resumed."""
    lab.twice = True
    await lab.create()
    await lab.queue.hand_back(
        await lab.take(), "op", reason="rate_limited", delay_seconds=30, repeat=True
    )

    await lab.store.pause(REF)
    await lab.sleep(60)
    await lab.reap()

    assert await lab.status(REF) == "paused"
    await lab.store.resume(REF)
    assert (await lab.take()).task.retries == 1


async def test_a_pause_leaves_a_wait_for_a_home(lab: Lab) -> None:
    """And waits for it again once it is resumed, when it is still away."""
    lab.twice = True
    await lab.create()
    await lab.run_next(truncated=True)
    await lab.instruct(REF)
    for _ in range(6):
        await lab.sleep(4)
        await lab.reap()
    assert (await lab.document(REF))["at"] == "home h1"

    await lab.store.pause(REF)

    assert "home:h1:away" not in (await lab.world()).values
    await lab.store.resume(REF)
    await lab.reap()
    assert (await lab.document(REF))["at"] == "home h1"


async def test_a_resumed_task_comes_to_the_place_of_its_age(lab: Lab) -> None:
    """Before all that are younger, behind all that are older, whoever went to the head since."""
    lab.twice = True
    for _ in range(5):
        await lab.create()
        await lab.sleep(1)
    for task in ("t3", "t1", "t5"):
        await lab.store.pause(f"default/{task}")
    await lab.create()
    for task in ("t5", "t3", "t1"):
        await lab.store.resume(f"default/{task}")

    taken = [(await lab.take()).task.id for _ in range(6)]

    assert taken == ["t1", "t2", "t3", "t4", "t5", "t6"]


async def test_a_resume_keeps_the_priority(lab: Lab) -> None:
    """An older one of lower priority still waits."""
    low = await lab.create(priority=Priority.LOW)
    await lab.create(priority=Priority.HIGH)
    await lab.store.pause(low)
    await lab.store.resume(low)

    assert (await lab.take()).task.id == "t2"


async def test_what_a_paused_run_has_used_counts_once_and_adds_up(lab: Lab) -> None:
    """In the iteration, in the task, and in the day of the tenant."""
    lab.twice = True
    await lab.create()
    for times in (1, 2):
        await lab.suspend(await lab.take(), usage=_USED)
        await lab.store.resume(REF)
        task = await lab.store.find("default", "t1")
        assert task is not None
        assert task.usage.input_tokens == task.usage_total.input_tokens == times * 100

    claim = await lab.take()
    assert claim.ran_seconds == 10
    await lab.run(claim, usage=_USED)

    task = await lab.store.find("default", "t1")
    assert task is not None
    assert (task.usage.input_tokens, task.usage_total.input_tokens) == (300, 300)
    assert task.usage.cost_usd == 1.5
    (day,) = (await lab.world()).matching(r"tenant:default:usage:.*")
    assert day[1]["input_tokens"] == "300"


async def test_the_next_attempt_of_a_resumed_run_starts_from_the_pause(lab: Lab) -> None:
    """A lost worker costs what was done since, not what was recorded."""
    await lab.create()
    claim = await lab.take()
    await lab.suspend(claim)
    await lab.store.resume(REF)
    await lab.take()
    await lab.lose()

    again = await lab.take(home="h2") if await lab.claim(home="h1") is None else None

    assert again is None  # it went to the home that has the work
    rows = (await lab.world()).rows(REF)
    assert claim.claim in rows["1.work"]


async def test_a_cancelled_follow_up_keeps_what_it_had_recorded(lab: Lab) -> None:
    """The document is put back; the newest work is that of the follow-up, and says so."""
    lab.twice = True
    await lab.create()
    await lab.run_next()
    await lab.instruct(REF)
    claim = await lab.take()
    await lab.suspend(claim)

    await lab.store.cancel(REF)

    document, rows = await lab.document(REF), (await lab.world()).rows(REF)
    assert document["status"] == "completed"
    assert claim.claim in rows["2.work"]
    assert rows["2.status"] == "failed"
    assert '"insertions":2' in document["changes"]


async def test_a_cancelled_retry_gets_back_the_work_of_before(lab: Lab) -> None:
    """With its stored diff, which the pause had put aside."""
    lab.twice = True
    await lab.create()
    claim = await lab.take()
    await lab.run(claim, failed=Reason.AGENT_FAILED)
    before = await lab.world()
    await lab.retry(REF)
    await lab.suspend(await lab.take())
    await lab.store.resume(REF)
    await lab.suspend(await lab.take())

    await lab.store.cancel(REF)

    world = await lab.world()
    work = "tenant:default:task:t1:work"
    assert world.get(work) == before.get(work) == {"1": f"diff {claim.claim}"}
    assert world.rows(REF) == before.rows(REF)


async def test_a_finished_retry_leaves_one_diff(lab: Lab) -> None:
    """Its own."""
    await lab.create()
    await lab.run_next(failed=Reason.AGENT_FAILED)
    await lab.retry(REF)
    await lab.suspend(await lab.take())
    await lab.store.resume(REF)
    claim = await lab.take()
    await lab.run(claim)

    assert (await lab.world()).get("tenant:default:task:t1:work") == {"1": f"diff {claim.claim}"}


async def test_a_worker_lost_while_it_pauses_leaves_its_task_paused(lab: Lab) -> None:
    """A life is spent; the third one ends the run all the same."""
    await lab.create()
    for lost in (1, 2, 3):
        await lab.take(f"w{lost}", lane=Lane.ALONE if lost == 3 else Lane.AGENT)
        await lab.store.pause(REF)
        await lab.lose(f"w{lost}")
        document = await lab.document(REF)
        assert document["lost"] == str(lost)
        assert document["status"] == ("paused" if lost < 3 else "failed")
        if lost < 3:
            await lab.store.resume(REF)


async def test_a_pause_that_a_script_of_before_overlooked_is_made_up_for(lab: Lab) -> None:
    """It gave the task back to its queue; the next claim pauses it instead of running it."""
    await lab.create()
    await lab.redis.hset(lab.keys.task("default", "t1"), "pause", "1")

    assert await lab.claim() is None

    assert await lab.status(REF) == "paused"


@pytest.mark.parametrize("end", ["handed back", "lost", "published"])
async def test_a_pause_left_behind_harms_no_pull_request(lab: Lab, end: str) -> None:
    """
    A worker of the version before ends the run and begins its create-pr, with the pause unseen.

    A create-pr cannot be paused; a script that tried would break off half-way.
    """
    await lab.create()
    await lab.run_next()
    await lab.publish(REF)
    await lab.redis.hset(lab.keys.task("default", "t1"), "pause", "1")

    claim = await lab.take(lane=Lane.PUBLISH)
    assert "pause" not in await lab.document(REF)
    await lab.redis.hset(lab.keys.task("default", "t1"), "pause", "1")  # as its CLAIM leaves it
    match end:
        case "handed back":
            await lab.queue.hand_back(claim, "op", reason="shutdown")
        case "lost":
            await lab.lose()
        case _:
            await lab.queue.finish_pr(claim, published(), "op")

    if end != "published":
        claim = await lab.take("w2", lane=Lane.PUBLISH)
        await lab.queue.finish_pr(claim, published(), "op2")
    assert await lab.status(REF) == "pr_created"
    assert "pause" not in await lab.document(REF)


async def test_a_late_repeat_of_a_pause_does_not_undo_a_resume(lab: Lab) -> None:
    """The client library sends it again, and somebody was faster."""
    await lab.create()
    await lab.store.pause(REF)
    assert lab.last is not None
    script, args = lab.last
    await lab.store.resume(REF)

    again = await script(lab.redis, [lab.keys.prefix], args)

    assert again == ["ok", "pending"]
    assert await lab.status(REF) == "pending"
