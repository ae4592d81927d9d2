"""Leases: who is lost, who pays for it, and who does not."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json

import pytest
from redis.exceptions import ResponseError

from internal.errors import Fenced
from internal.task.model import Claim
from internal.task.queue import Lane
from tests.support.queue_lab import LEASE_SECONDS, Lab

pytestmark = pytest.mark.live_keys


def ref_of(claim: Claim) -> str:
    return f"{claim.task.tenant}/{claim.task.id}"


async def test_a_dead_worker_costs_each_of_its_tasks_one_life_and_no_other_any(lab: Lab) -> None:
    """All its tasks go back together, to the head of their queue; another worker keeps its own."""
    refs = [await lab.create() for _ in range(4)]
    dead = [await lab.take("w1"), await lab.take("w1")]
    alive = await lab.take("w2")
    for _ in range(4):
        await lab.sleep(3)
        await lab.beat("w2", "h1", [alive])

    lost, _, _ = await lab.reap()

    assert lost == 2
    world = await lab.world()
    assert [world.document(ref)["lost"] for ref in refs] == ["1", "1", "0", "0"]
    assert world.document(refs[0])["status"] == "pending"
    assert "token" in world.document(refs[2])
    assert [ref_of(await lab.take("w2")) for _ in range(2)] == refs[:2]
    for claim in dead:
        with pytest.raises(Fenced):
            await lab.finish(claim)


async def test_a_worker_just_started_has_its_lease_in_full(lab: Lab) -> None:
    """A claim right before the death is taken back with the others, not 9 s later."""
    await lab.create()
    await lab.create()
    first = await lab.take("w1")
    for _ in range(2):
        await lab.sleep(3)
        await lab.beat("w1", "h1", [first])
    await lab.sleep(3)
    await lab.beat("w2", "h1", [])
    await lab.take("w1")
    for _ in range(3):
        await lab.sleep(3)
        await lab.beat("w2", "h1", [])

    lost, _, _ = await lab.reap()

    assert lost == 2
    assert "w1" not in (await lab.world()).get("workers")


async def test_fault_b4_nothing_is_taken_back_before_lease_and_grace_are_over(lab: Lab) -> None:
    """The end of the lease plus one second; a heartbeat in that second still renews it."""
    await lab.create()
    claim = await lab.take("w1")
    for seconds in (4, 4, 1):
        await lab.sleep(seconds)
        await lab.beat("w2", "h1", [])
    await lab.sleep(0.9)
    assert (await lab.reap())[0] == 0

    assert (await lab.beat("w1", "h1", [claim]))[1] == 1

    await lab.sleep(4)
    assert (await lab.reap())[0] == 0
    await lab.advance(claim)


async def test_promise_1_a_lost_reply_of_a_claim_costs_no_life(lab: Lab) -> None:
    """The worker never heard of its claim but lives: the task goes back uncharged."""
    ref = await lab.create()
    await lab.take("w1")
    for _ in range(4):
        await lab.sleep(3)
        await lab.beat("w1", "h1", [])

    await lab.reap()

    document = await lab.document(ref)
    assert (document["status"], document["lost"]) == ("pending", "0")
    assert (await lab.take("w1")).attempt == 2


async def test_a_run_that_never_gets_through_ends(lab: Lab) -> None:
    """
    Its worker lives, but its lease ends each time: three returns are free, the next three are not.
    """
    ref = await lab.create()
    attempts = 0
    while (await lab.document(ref))["status"] == "pending":
        claim = await lab.claim("w1") or await lab.claim("w1", lane=Lane.ALONE)
        assert claim is not None
        attempts += 1
        for _ in range(4):
            await lab.sleep(3)
            await lab.beat("w1", "h1", [])
        await lab.reap()

    document = await lab.document(ref)
    assert (document["status"], attempts) == ("failed", 6)
    assert json.loads(document["failure"])["reason"] == "worker_lost"


async def test_a_claim_repeated_with_its_token_is_the_same_claim(lab: Lab) -> None:
    """The client library sends the call again after a lost reply: one task, not two."""
    for _ in range(2):
        await lab.create()
    lab.twice = True

    first = await lab.take()

    assert lab.last is not None
    script, args = lab.last
    again = await script(lab.redis, [lab.keys.prefix], args)
    fields = dict(zip(again[1][::2], again[1][1::2], strict=True))
    assert fields["id"] == first.task.id
    assert len((await lab.world()).get("leases")) == 1


async def test_a_token_whose_claim_is_over_gets_nothing(lab: Lab) -> None:
    """A repeat that comes after the task was taken back does not claim another one."""
    await lab.create()
    await lab.take("w1")
    assert lab.last is not None
    script, args = lab.last
    await lab.lose("w1")
    await lab.redis.set(lab.keys.claim(str(args[2])), "default/t1")  # its TTL has not run out

    assert await script(lab.redis, [lab.keys.prefix], args) == ["none"]

    await lab.redis.delete(lab.keys.claim(str(args[2])))


async def test_promise_19_poison_ends_after_three_workers_and_no_neighbour_dies(lab: Lab) -> None:
    """After two lost workers it runs alone, so the third death is its own and the last."""
    poison = await lab.create()
    neighbour = await lab.create()
    assert [ref_of(await lab.take("w1")) for _ in range(2)] == [poison, neighbour]
    await lab.lose("w1")
    assert ref_of(await lab.take("w2")) == poison
    await lab.lose("w2")

    assert ref_of(await lab.take("w3")) == neighbour
    assert await lab.claim("w3") is None, "a last-life task beside another"
    alone = await lab.take("w4", lane=Lane.ALONE)
    assert (ref_of(alone), alone.alone) == (poison, True)
    await lab.lose("w4")

    world = await lab.world()
    document = world.document(poison)
    assert (document["status"], document["lost"], document["attempt"]) == ("failed", "3", "3")
    assert '"reason":"worker_lost"' in document["failure"]
    assert poison in world.get("dead")
    assert world.names(poison)[-2:] == ["system/state", "system/task_failed"]
    assert world.document(neighbour)["status"] != "failed"


async def test_a_heartbeat_tells_that_a_task_waits_to_run_alone(lab: Lab) -> None:
    """By it a worker knows when to start a process for such tasks."""
    await lab.create()
    assert (await lab.beat("w9", "h1", []))[0] == 0
    for worker in ("w1", "w2"):
        await lab.take(worker)
        await lab.lose(worker)

    assert (await lab.beat("w9", "h1", []))[0] == 1
    await lab.take("w3", lane=Lane.ALONE)
    assert (await lab.beat("w9", "h1", []))[0] == 0


async def test_a_dead_letter_can_be_retried_with_three_new_lives(lab: Lab) -> None:
    """It leaves the list of dead letters; cancelled while it waits, it is on it again."""
    ref = await lab.create()
    for worker, lane in (("w1", Lane.AGENT), ("w2", Lane.AGENT), ("w3", Lane.ALONE)):
        await lab.take(worker, lane=lane)
        await lab.lose(worker)
    dead = (await lab.world()).get("dead")

    await lab.retry(ref)
    assert not (await lab.world()).get("dead")
    await lab.store.cancel(ref)
    assert (await lab.world()).get("dead") == dead
    await lab.retry(ref)

    document = await lab.document(ref)
    assert (document["lost"], document["attempt"]) == ("0", "0")
    assert (await lab.take()).attempt == 1


async def test_promise_20_a_minute_without_redis_costs_no_life(lab: Lab) -> None:
    """After a silence nothing is reaped for one full lease; whoever comes back goes on."""
    await lab.create()
    claim = await lab.take("w1")
    await lab.beat("w1", "h1", [claim])
    await lab.sleep(60)

    assert (await lab.reap())[0] == 0
    await lab.sleep(3)
    assert (await lab.reap())[0] == 0
    assert (await lab.beat("w1", "h1", [claim]))[1] == 1
    for _ in range(3):
        await lab.sleep(3)
        await lab.beat("w1", "h1", [claim])
        assert (await lab.reap())[0] == 0
    await lab.advance(claim)


async def test_who_does_not_come_back_from_an_outage_is_lost_after_it(lab: Lab) -> None:
    """The pause is one lease long and no longer."""
    await lab.create()
    await lab.take("w1")
    await lab.sleep(60)
    lost = [(await lab.reap())[0]]
    for _ in range(3):
        await lab.sleep(LEASE_SECONDS / 3)
        lost.append((await lab.reap())[0])

    assert lost == [0, 0, 0, 1]


async def test_a_due_wait_is_promoted_also_while_nothing_is_reaped(lab: Lab) -> None:
    """A wait that is over has nothing to do with anybody's death."""
    await lab.create()
    claim = await lab.take()
    await lab.queue.hand_back(claim, "op", reason="rate_limited", delay_seconds=30, repeat=True)
    assert await lab.claim() is None
    await lab.sleep(60)

    assert (await lab.reap())[1] == 1

    again = await lab.take()
    assert (again.task.retries, again.task.lost, again.attempt) == (1, 0, 2)


async def test_a_hand_back_takes_no_life_and_goes_to_the_head(lab: Lab) -> None:
    """As a worker that is deployed anew does with everything it runs."""
    first = await lab.create()
    await lab.create()
    claim = await lab.take()
    await lab.advance(claim)

    await lab.queue.hand_back(claim, "op", reason="shutdown")

    document = await lab.document(first)
    assert (document["status"], document["lost"], document["retries"]) == ("pending", "0", "0")
    assert ref_of(await lab.take()) == first


async def test_a_cancel_reaches_the_worker_and_survives_its_death(lab: Lab) -> None:
    """The heartbeat tells it; if the worker dies instead, the task ends cancelled, not again."""
    ref = await lab.create()
    claim = await lab.take("w1")
    await lab.store.cancel(ref)
    assert (await lab.beat("w1", "h1", [claim]))[1] == 2

    await lab.lose("w1")

    world = await lab.world()
    assert world.document(ref)["status"] == "failed"
    assert world.names(ref)[-3:] == ["system/task_cancelled", "system/state", "system/task_failed"]
    assert '"reason":"canceled"' in world.document(ref)["failure"]


async def test_more_tasks_than_one_round_handles_are_taken_back_by_the_next(lab: Lab) -> None:
    """A round is bounded and says when more is left; each task is charged once."""
    refs = [await lab.create() for _ in range(25)]
    for _ in refs:
        await lab.take("w1")
    for _ in range(4):
        await lab.sleep(3)
        await lab.beat("w2", "h1", [])

    rounds = [await lab.reap(limit=10) for _ in range(3)]

    assert [(lost, more) for lost, _, more in rounds] == [(10, True), (10, True), (5, False)]
    world = await lab.world()
    assert {world.document(ref)["lost"] for ref in refs} == {"1"}


async def test_a_broken_document_keeps_nobody_else_from_being_taken_back(lab: Lab) -> None:
    """The round that meets it raises and is told; the next ones go on with the others."""
    broken, sound = await lab.create(), await lab.create()
    await lab.take("w1")
    await lab.take("w2")
    key = lab.keys.task("default", "t1")
    since = await lab.redis.hget(key, "since")
    await lab.redis.hdel(key, "since")
    for _ in range(4):
        await lab.sleep(3)
        await lab.beat("w3", "h1", [])

    with pytest.raises(ResponseError, match="broken document: default/t1"):
        await lab.reap()
    assert (await lab.reap())[0] == 1

    assert await lab.status(sound) == "pending"
    await lab.redis.hset(key, "since", str(since))
    for _ in range(21):
        await lab.sleep(3)
        await lab.reap()
    assert await lab.status(broken) == "pending"


async def test_a_create_pr_is_leased_and_reaped_like_a_run(lab: Lab) -> None:
    """Three lost workers restore what was there before: no work becomes unreachable."""
    ref = await lab.create()
    await lab.run_next()
    before = await lab.document(ref)
    await lab.publish(ref)
    for worker, lane in (("w1", Lane.PUBLISH), ("w2", Lane.PUBLISH), ("w3", Lane.ALONE)):
        claim = await lab.take(worker, lane=lane)
        assert claim.publish
        assert await lab.status(ref) == "creating_pr"
        await lab.lose(worker)

    world = await lab.world()
    document = world.document(ref)
    assert document["status"] == "completed"
    assert document["pr_error"] == "lost 3 workers while it ran"
    assert document["result"] == before["result"]
    assert world.names(ref)[-2:] == ["system/state", "git/pr_failed"]
    assert ref not in world.get("dead")


@pytest.mark.parametrize("quiet", [False, True], ids=["at once", "behind a silence"])
async def test_a_clock_that_goes_back_keeps_no_lost_worker_alive(lab: Lab, quiet: bool) -> None:
    """A failover to a server whose clock is behind: who is heard of there lives, nobody else."""
    lost, kept = await lab.take_new("a"), await lab.take_new("b")
    if quiet:
        await lab.sleep(6)
        await lab.beat("w1", "h1", [lost, kept])
    await lab.sleep(-3600)

    for _ in range(8):
        await lab.beat("w1", "h1", [kept])
        await lab.reap()
        await lab.sleep(3)

    assert await lab.status("a/t1") == "pending"
    assert await lab.status("b/t2") == "cloning"
