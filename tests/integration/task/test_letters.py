"""What becomes a dead letter, and what the scripts remember of its attempts."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from typing import Any

import pytest

from internal.task.model import Reason
from internal.task.queue import Lane
from tests.support.queue_lab import Lab
from tests.support.world import World, webhook_body

pytestmark = pytest.mark.live_keys


def attempts(world: World, ref: str) -> list[dict[str, Any]]:
    """The attempts of the run, oldest first."""
    return [json.loads(line) for line in world.document(ref).get("attempts", "").splitlines()]


async def lose_all_lives(lab: Lab) -> str:
    """A task that killed three workers; its ref."""
    ref = await lab.create()
    for worker, lane in (("w1", Lane.AGENT), ("w2", Lane.AGENT), ("w3", Lane.ALONE)):
        await lab.take(worker, lane=lane)
        await lab.lose(worker)
    return ref


async def test_promise_19_poison_is_a_letter_that_says_so_everywhere(lab: Lab) -> None:
    """In the list, in its failure and in the body of its webhook."""
    ref = await lose_all_lives(lab)

    world = await lab.world()
    assert list(world.get("dead")) == [ref]
    failure = json.loads(world.document(ref)["failure"])
    assert failure["detail"] == {"dead_letter": True}
    (delivery,) = [record for _, record in world.matching(r"delivery:(.*)")]
    assert webhook_body(world, delivery)["dead_letter"] is True


async def test_weakness_4_what_used_up_its_repeats_is_a_letter_and_never_runs_again(
    lab: Lab,
) -> None:
    """
    It is told once, with its reason, and no worker is given it any more.
    """
    lab.twice = True
    ref = await lab.create()
    claim = await lab.take()

    await lab.advance(claim)
    await lab.finish(claim, failed=Reason.RATE_LIMITED, exhausted=True)

    world = await lab.world()
    assert list(world.get("dead")) == [ref]
    assert world.document(ref)["status"] == "failed"
    assert json.loads(world.document(ref)["failure"])["detail"] == {"dead_letter": True}
    assert world.names(ref).count("system/task_failed") == 1
    await lab.reap()
    assert await lab.claim() is None


async def test_weakness_6_a_timeout_whose_repeats_are_used_up_is_a_letter(lab: Lab) -> None:
    """
    What ended it does not matter; that nothing repeats it any more does.
    """
    ref = await lab.create()

    await lab.run_next(failed=Reason.TIMEOUT, exhausted=True)

    assert list((await lab.world()).get("dead")) == [ref]


async def test_weakness_5_a_run_that_nobody_works_on_ends_as_a_letter(lab: Lab) -> None:
    """
    A worker that was given it and says nothing, over and over: nothing of it stays behind.
    """
    await lose_all_lives(lab)

    world = await lab.world()
    for left in ("leases", "queued", "gates:parked"):
        assert world.get(left) == {}
    assert not [name for name, _ in world.matching("held:.*")]


async def test_an_ordinary_failure_is_no_letter(lab: Lab) -> None:
    """Somebody reads of it anyway: it was not repeated."""
    await lab.create()

    await lab.run_next(failed=Reason.AGENT_FAILED)

    assert (await lab.world()).get("dead") == {}


async def test_a_cancel_that_comes_first_makes_no_letter(lab: Lab) -> None:
    """Who cancelled it knows."""
    ref = await lab.create()
    claim = await lab.take()
    await lab.advance(claim)
    await lab.store.cancel(ref)

    await lab.finish(claim, failed=Reason.CANCELED)

    assert (await lab.world()).get("dead") == {}


async def test_a_create_pr_out_of_lives_is_no_letter(lab: Lab) -> None:
    """Its task is as it was, with the reason in `pr_error`: no work became unreachable."""
    ref = await lab.create()
    await lab.run_next()
    await lab.publish(ref)
    for worker, lane in (("w1", Lane.PUBLISH), ("w2", Lane.PUBLISH), ("w3", Lane.ALONE)):
        await lab.take(worker, lane=lane)
        await lab.lose(worker)

    world = await lab.world()
    assert world.get("dead") == {}
    assert world.document(ref)["status"] == "completed"
    assert "lost 3 workers" in world.document(ref)["pr_error"]


async def test_attempts_say_who_tried_when_and_how_it_ended(lab: Lab) -> None:
    """One row each, oldest first; those of the run that ended."""
    ref = await lab.create()
    lab.twice = True
    first = await lab.take("w1")
    began = await lab.now()
    await lab.sleep(2)
    await lab.queue.hand_back(first, lab.operation(), reason="rate_limited", repeat=True)
    second = await lab.take("w2")
    await lab.advance(second)

    await lab.finish(second, failed=Reason.RATE_LIMITED, exhausted=True)

    rows = attempts(await lab.world(), ref)
    assert rows[0] == {
        "attempt": 1,
        "worker": "w1",
        "started_at": began,
        "ended_at": began + 2_000,
        "reason": "rate_limited",
    }
    assert [(row["attempt"], row["worker"]) for row in rows] == [(1, "w1"), (2, "w2")]


async def test_the_newest_sixteen_attempts_are_remembered(lab: Lab) -> None:
    """A run that is handed back for ever does not grow for ever."""
    ref = await lab.create()

    for _ in range(20):
        claim = await lab.take()
        await lab.queue.hand_back(claim, lab.operation(), reason="shutdown")

    rows = attempts(await lab.world(), ref)
    assert [row["attempt"] for row in rows] == list(range(5, 21))


async def test_another_run_begins_without_attempts_and_a_cancel_brings_them_back(lab: Lab) -> None:
    """They belong to the run; what a cancel puts back is whole, the letter too."""
    ref = await lose_all_lives(lab)
    before = attempts(await lab.world(), ref)

    await lab.retry(ref)

    world = await lab.world()
    assert attempts(world, ref) == []
    assert world.get("dead") == {}
    await lab.store.cancel(ref)
    world = await lab.world()
    assert attempts(world, ref) == before
    assert list(world.get("dead")) == [ref]


async def test_letters_that_leave_the_full_list_are_counted(lab: Lab) -> None:
    """10,000 are kept, the oldest go first; their tasks stay as they are."""
    old = {f"default/old{number}": number for number in range(10_000)}
    await lab.redis.zadd(lab.keys.dead_letters(), old)

    ref = await lose_all_lives(lab)

    assert await lab.redis.zcard(lab.keys.dead_letters()) == 10_000
    assert await lab.redis.zscore(lab.keys.dead_letters(), "default/old0") is None
    assert await lab.redis.zscore(lab.keys.dead_letters(), ref) is not None
    assert (await lab.world()).get("counters")["dead_letters_dropped"] == "1"
    await lab.redis.zrem(lab.keys.dead_letters(), *old)


async def test_only_a_letter_is_requeued(lab: Lab) -> None:
    """With fresh lives and repeats; what merely failed is not found in the list."""
    lab.twice = True
    ordinary = await lab.create()
    await lab.run_next(failed=Reason.AGENT_FAILED)
    lab.twice = False
    letter = await lose_all_lives(lab)
    lab.twice = True

    assert (await lab.retry(ordinary, only_letter=True)).word == "missing"
    assert (await lab.retry(letter, only_letter=True)).word == "ok"

    assert (await lab.document(letter))["lost"] == "0"
    assert (await lab.retry(letter, only_letter=True)).word == "missing"
    assert (await lab.take()).task.id == letter.partition("/")[2]


async def test_a_discarded_letter_leaves_its_task_as_it_was(lab: Lab) -> None:
    """It can be retried still; only nobody is reminded of it."""
    ref = await lose_all_lives(lab)
    lab.twice = True

    assert (await lab.store.discard(ref)).word == "ok"

    world = await lab.world()
    assert world.get("dead") == {}
    assert world.document(ref)["status"] == "failed"
    assert (await lab.store.discard(ref)).word == "missing"
    assert (await lab.retry(ref, only_letter=True)).word == "missing"
    assert (await lab.retry(ref)).word == "ok"


async def test_a_letter_whose_task_has_expired_is_discarded_without_a_trace(lab: Lab) -> None:
    """Between the end of its TTL and the next REAP; no field may be written to a task of none."""
    ref = await lose_all_lives(lab)
    tenant, _, task = ref.partition("/")
    key = lab.keys.task(tenant, task)
    await lab.redis.unlink(key, f"{key}:events", f"{key}:iterations")

    assert (await lab.store.discard(ref)).word == "ok"

    assert not await lab.redis.exists(key)
    await lab.redis.zadd(lab.keys.expiring(), {ref: 0})
    await lab.reap()
