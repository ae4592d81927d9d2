"""Work lies on a home: its tasks wait there, move when it is gone, and come back with it."""

from __future__ import annotations

import pytest

from internal.task.model import Reason
from internal.task.queue import Lane
from tests.support.queue_lab import Lab

pytestmark = pytest.mark.live_keys


async def follow_up(lab: Lab, *, truncated: bool = False, home: str = "h1") -> str:
    """A task whose follow-up waits where its work lies."""
    ref = await lab.create()
    await lab.run_next(home=home, truncated=truncated)
    await lab.instruct(ref)
    return ref


async def live(lab: Lab, seconds: int, *homes: str) -> None:
    """Time passes; these homes have a live worker meanwhile."""
    for _ in range(0, seconds, 3):
        await lab.sleep(3)
        for home in homes:
            await lab.beat(f"worker-{home}", home, [])
        await lab.reap()


async def test_a_follow_up_waits_for_its_home_while_that_lives(lab: Lab) -> None:
    """Another home gets nothing of it, however long it asks."""
    await follow_up(lab)
    await live(lab, 30, "h1", "h2")

    assert await lab.claim("w2", "h2") is None
    assert (await lab.take("w1", "h1")).task.iteration == 2


async def test_work_of_a_home_that_is_gone_runs_elsewhere(lab: Lab) -> None:
    """The stored patch is enough: 15 s after its last sign of life, its lists are common ones."""
    await lab.beat("worker-h1", "h1", [])
    await follow_up(lab)
    await live(lab, 12, "h2")
    assert await lab.claim("w2", "h2") is None

    await live(lab, 6, "h2")

    claim = await lab.take("w2", "h2")
    assert not claim.lost_work
    await lab.reap()
    assert not (await lab.world()).get("homes")


async def test_a_home_whose_workers_are_isolated_is_as_one_that_is_gone(lab: Lab) -> None:
    """They get nothing until an operator says so; what waits for them does not know when."""
    ref = await follow_up(lab, truncated=True)
    other = await follow_up(lab)
    await lab.redis.hset(lab.keys.limits(), "throttle:worker:worker-h1", "0")
    await live(lab, 3, "h1", "h2")

    claim = await lab.take("w2", "h2")

    assert f"default/{claim.task.id}" == other
    assert (await lab.document(ref))["wait_reason"] == "home_away"
    await lab.redis.hset(lab.keys.limits(), "throttle:worker:worker-h1", "1")
    await live(lab, 3, "h1", "h2")
    assert not (await lab.take("worker-h1", "h1")).lost_work
    await lab.redis.delete(lab.keys.limits())


async def test_a_home_that_left_in_good_order_is_gone_at_once(lab: Lab) -> None:
    """Nobody waits 15 s for a worker that said good-bye."""
    await lab.queue.register("w1", "h1", {})
    await follow_up(lab)
    await lab.queue.unregister("w1", "h1")

    await lab.reap()

    assert await lab.claim("w2", "h2")


async def test_moved_tasks_keep_their_order_and_stand_before_the_backlog(lab: Lab) -> None:
    """They waited as long as anybody; a task of a lost worker among them is still the first."""
    refs = [await follow_up(lab) for _ in range(3)]
    backlog = await lab.create()

    await lab.reap()

    order = [await lab.take("w2", "h2") for _ in range(4)]
    assert [f"default/{claim.task.id}" for claim in order] == [*refs, backlog]


async def test_what_only_a_home_has_waits_for_it(lab: Lab) -> None:
    """It says why and until when, and is back in the lists as soon as a worker registers."""
    ref = await follow_up(lab, truncated=True)
    await lab.reap()

    world = await lab.world()
    assert world.document(ref)["wait_reason"] == "home_away"
    assert world.names(ref)[-1] == "system/waiting"
    assert ref in world.get("queued")
    assert await lab.claim("w2", "h2") is None

    assert await lab.queue.register("w1", "h1", {}) == 1

    assert "wait_reason" not in await lab.document(ref)
    assert not (await lab.take("w1", "h1")).lost_work


async def test_a_home_that_never_registers_again_but_beats_gets_its_tasks_back(lab: Lab) -> None:
    """Its worker was stopped for longer than its record lasted, and goes on."""
    await follow_up(lab, truncated=True)
    await lab.reap()

    await lab.beat("w1", "h1", [])
    await lab.reap()

    assert await lab.claim("w1", "h1")


async def test_after_the_grace_it_starts_from_the_base(lab: Lab) -> None:
    """The loss is said once; a worker that dies with it does not make it wait again."""
    ref = await follow_up(lab, truncated=True)
    await lab.reap(home_grace_seconds=60)
    await live(lab, 63, "h2")

    claim = await lab.take("w2", "h2")
    assert claim.lost_work
    await lab.lose("w2", "h2")
    again = await lab.take("w3", "h2")

    assert again.lost_work
    assert (await lab.world()).names(ref).count("system/workspace_lost") == 1
    await lab.run(again)
    assert (await lab.document(ref))["home"] == "h2"


async def test_the_loss_is_forgotten_with_the_run(lab: Lab) -> None:
    """A follow-up that is cancelled, and the next one, know nothing of it."""
    ref = await follow_up(lab, truncated=True)
    await lab.reap(home_grace_seconds=60)
    await live(lab, 63, "h2")
    await lab.store.cancel(ref)
    await lab.queue.register("w1", "h1", {})
    await lab.instruct(ref)

    assert not (await lab.take("w1", "h1")).lost_work


async def test_publishing_never_starts_from_the_base(lab: Lab) -> None:
    """Its work is nowhere else: after the grace everything is as before, with the reason."""
    ref = await lab.create()
    await lab.run_next(truncated=True)
    before = await lab.document(ref)
    await lab.publish(ref)
    await lab.reap(home_grace_seconds=60)
    assert await lab.claim("w2", "h2", Lane.PUBLISH) is None

    await live(lab, 63, "h2")

    document = await lab.document(ref)
    assert document["status"] == before["status"] == "completed"
    assert document["pr_error"] == "the home that has the work is away"


async def test_moving_pauses_while_reaping_does(lab: Lab) -> None:
    """After a silence every home looks gone; nothing is moved before it had time to speak."""
    await lab.beat("worker-h1", "h1", [])
    await follow_up(lab, truncated=True)
    await lab.sleep(60)

    await lab.reap()
    await live(lab, 6, "h1")

    assert "wait_reason" not in (await lab.document("default/t1"))
    assert await lab.claim("w1", "h1")


async def test_a_cancel_finds_a_task_that_waits_for_its_home(lab: Lab) -> None:
    """Nothing of it is left in the home's set."""
    ref = await follow_up(lab, truncated=True)
    await lab.reap()

    assert (await lab.store.cancel(ref)).rest == ("completed",)

    world = await lab.world()
    assert not list(world.matching(r"home:h1:away"))


async def test_more_than_a_round_moves_is_moved_by_the_next(lab: Lab) -> None:
    """A round is bounded and says when more is left."""
    for _ in range(12):
        await follow_up(lab)

    rounds = [await lab.reap(limit=5) for _ in range(3)]

    assert [(moved, more) for _, moved, more in rounds] == [(5, True), (5, True), (2, False)]


async def test_a_retry_waits_where_the_work_before_it_lies(lab: Lab) -> None:
    """Not where the failed run left its own: that is not what it starts from."""
    ref = await lab.create()
    await lab.run_next(home="h1")
    await lab.instruct(ref)
    await lab.reap()  # nobody lives on h1: another home takes it
    await lab.run_next("w2", "h2", failed=Reason.AGENT_FAILED)
    assert (await lab.document(ref))["home"] == "h2"
    await lab.queue.register("w1", "h1", {})

    await lab.retry(ref)

    assert (await lab.document(ref))["home"] == "h1"
    assert await lab.claim("w2", "h2") is None
    assert await lab.claim("w1", "h1")


async def test_a_retry_of_the_first_iteration_waits_for_no_home(lab: Lab) -> None:
    """It starts from the base, which every home can fetch."""
    ref = await lab.create()
    await lab.run_next(home="h1", failed=Reason.AGENT_FAILED, truncated=True)

    await lab.retry(ref)

    document = await lab.document(ref)
    assert (document["home"], document["truncated"]) == ("", "0")
    assert "changes" not in document
    assert await lab.claim("w2", "h2")
