"""Deduplication keys: shared, superseded or rejected, and never two runs at once."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio

import pytest

from internal.errors import Fenced
from internal.task.fenced import CancelAccepted
from internal.task.model import Priority, Reason
from internal.task.queue import Lane
from internal.task.store import Reply
from tests.support.queue_lab import Lab
from tests.support.world import World

pytestmark = pytest.mark.live_keys

HASH = "d" * 32
GATE = f"dedup:default:{HASH}"


async def submit(lab: Lab, task: str, policy: str, *, hook: str = "", key: str = "") -> Reply:
    """A task with the one deduplication key of these tests."""
    fields = {"dedup": HASH, "dedup_policy": policy}
    if hook:
        fields["callback_url"] = hook
    return await lab.submit(
        "default", task, "r", Priority.NORMAL, callback=False, key=key, digest="h", **fields
    )


async def add(lab: Lab, task: str, policy: str = "latest_wins") -> str:
    """The same, accepted; its ref."""
    assert (await submit(lab, task, policy)).word == "ok"
    return f"default/{task}"


def told(world: World, task: str) -> list[str]:
    """The URLs that get the webhook of the end of *task*."""
    return sorted(d["url"] for _, d in world.matching(r"delivery:(.*)") if d["task_id"] == task)


# -- coalesce


async def test_weakness_10_a_coalesced_caller_gets_the_task_and_its_end(lab: Lab) -> None:
    """
    One task for all callers; the callback of each is told, each by a delivery of its own.
    """
    lab.twice = True
    await submit(lab, "a", "coalesce", hook="https://one/")

    second = await submit(lab, "b", "coalesce", hook="https://two/")
    third = await submit(lab, "c", "coalesce", hook="https://three/")
    same = await submit(lab, "d", "coalesce", hook="https://one/")
    quiet = await submit(lab, "e", "coalesce")

    for reply in (second, third, same, quiet):
        assert (reply.word, reply.rest) == ("joined", ("a",))
    await lab.run_next()
    world = await lab.world()
    assert list(world.tasks) == ["default/a"]
    assert told(world, "a") == ["https://one/", "https://three/", "https://two/"]
    assert len({record["id"] for _, record in world.matching(r"delivery:(.*)")}) == 3


async def test_callers_of_a_running_task_share_it_too(lab: Lab) -> None:
    """Also while its retry waits for a time, and while a follow-up is queued."""
    ref = await add(lab, "a", "coalesce")
    claim = await lab.take()
    assert (await submit(lab, "b", "coalesce")).rest == ("a",)

    await lab.queue.hand_back(
        claim, lab.operation(), reason="rate_limited", delay_seconds=60, repeat=True
    )
    assert (await submit(lab, "b", "coalesce")).rest == ("a",)

    await lab.sleep(61)
    await lab.reap()
    await lab.run_next()
    await lab.instruct(ref)
    assert (await submit(lab, "b", "coalesce")).rest == ("a",)


async def test_what_has_ended_is_not_shared(lab: Lab) -> None:
    """The key is free then, and the next task holds it."""
    await add(lab, "a", "coalesce")
    await lab.run_next()

    assert (await submit(lab, "b", "coalesce")).word == "ok"
    assert (await submit(lab, "c", "coalesce")).rest == ("b",)


async def test_what_is_being_cancelled_is_not_shared(lab: Lab) -> None:
    """Its caller asked for that, the new one did not; it waits until the other is gone."""
    ref = await add(lab, "a", "coalesce")
    claim = await lab.take()
    await lab.store.cancel(ref)

    assert (await submit(lab, "b", "coalesce")).word == "ok"

    assert await lab.claim() is None
    await lab.finish(claim, failed=Reason.CANCELED)
    assert (await lab.take()).task.id == "b"


async def test_sixteen_further_callbacks_are_told_and_the_next_caller_learns_it(lab: Lab) -> None:
    """Never silently: it gets the task's id, and may come without a callback."""
    await add(lab, "a", "coalesce")
    for number in range(16):
        assert (await submit(lab, "b", "coalesce", hook=f"https://x/{number}")).word == "joined"

    one_more = await submit(lab, "b", "coalesce", hook="https://x/16")

    assert (one_more.word, one_more.rest) == ("full", ("a",))
    assert (await submit(lab, "b", "coalesce", hook="https://x/3")).word == "joined"
    assert (await submit(lab, "b", "coalesce")).word == "joined"
    await lab.run_next()
    assert len(told(await lab.world(), "a")) == 16


async def test_callbacks_of_sharers_stay_with_the_task(lab: Lab) -> None:
    """A retry that is cancelled puts the document back, and they are told of both ends."""
    ref = await add(lab, "a", "coalesce")
    await submit(lab, "b", "coalesce", hook="https://two/")
    await lab.run_next(failed=Reason.AGENT_FAILED)
    await lab.retry(ref)

    await lab.store.cancel(ref)

    world = await lab.world()
    assert world.document(ref)["callbacks"] == "https://two/\n"
    assert told(world, "a") == ["https://two/", "https://two/"]


# -- reject


async def test_a_duplicate_is_rejected_and_leaves_nothing(lab: Lab) -> None:
    """The answer has the holder's id."""
    lab.twice = True
    await add(lab, "a", "reject")
    before = await lab.world()

    reply = await submit(lab, "b", "reject", key="k")

    assert (reply.word, reply.rest) == ("duplicate", ("a",))
    assert await lab.world() == before


async def test_weakness_9_the_key_is_held_while_a_repeat_waits_for_its_time(lab: Lab) -> None:
    """
    Back-off, a lost worker, a parked task: none of them lets a duplicate in.
    """
    await add(lab, "a", "reject")
    claim = await lab.take()
    delay = lab.queue.hand_back(
        claim, lab.operation(), reason="rate_limited", delay_seconds=60, repeat=True
    )
    await delay

    assert (await submit(lab, "b", "reject")).word == "duplicate"

    await lab.sleep(61)
    await lab.reap()
    await lab.take("w2")
    await lab.lose("w2")
    assert (await submit(lab, "b", "reject")).word == "duplicate"


async def test_weakness_5_the_key_is_free_when_nobody_worked_on_its_task(lab: Lab) -> None:
    """
    A run that nobody finishes ends by itself, and its key with it.
    """
    await add(lab, "a", "reject")
    for worker, lane in (("w1", Lane.AGENT), ("w2", Lane.AGENT), ("w3", Lane.ALONE)):
        await lab.take(worker, lane=lane)
        await lab.lose(worker)

    assert (await submit(lab, "b", "reject")).word == "ok"


async def test_another_tenant_has_keys_of_its_own(lab: Lab) -> None:
    """What one tenant submits stands in nobody else's way, and is shared with nobody."""
    await add(lab, "a", "reject")

    reply = await lab.submit(
        "other",
        "b",
        "r",
        Priority.NORMAL,
        callback=False,
        key="",
        digest="h",
        dedup=HASH,
        dedup_policy="coalesce",
    )

    assert reply.word == "ok"


# -- latest_wins


async def test_the_latest_takes_the_place_of_one_that_waits(lab: Lab) -> None:
    """The older one ends in the same step, and its log says why."""
    lab.twice = True
    first = await add(lab, "a")

    await add(lab, "b")

    world = await lab.world()
    assert world.document(first)["status"] == "failed"
    (warning,) = [e for e in world.events(first) if e["event"] == "warning"]
    assert warning["data"] == {"reason": "superseded", "by": "b"}
    assert (await lab.take()).task.id == "b"
    assert await lab.claim() is None


async def test_weakness_2_the_older_one_is_cancelled_and_gone_before_the_new_one_runs(
    lab: Lab,
) -> None:
    """
    Its worker is told; the new task waits until that has reported, which it does when the whole
    process tree is gone. The end of the older one does not free the key of the newer.
    """
    first = await add(lab, "a")
    running = await lab.take("w1")
    await lab.advance(running)

    await add(lab, "b")

    assert (await lab.beat("w1", "h1", [running]))[1] == 2
    assert await lab.claim("w2") is None
    waiting = await lab.document("default/b")
    assert (waiting["at"], waiting["wait_reason"]) == (f"gate {GATE}", "cap")
    with pytest.raises(CancelAccepted):
        await lab.finish(running)
    await lab.finish(running, failed=Reason.CANCELED)
    assert (await lab.take("w2")).task.id == "b"
    assert await lab.status(first) == "failed"
    assert (await submit(lab, "c", "reject")).rest == ("b",)


async def test_three_in_a_row_leave_the_last(lab: Lab) -> None:
    """The one in the middle never runs; the first is gone before the last begins."""
    await add(lab, "a")
    running = await lab.take()
    await lab.advance(running)

    second = await add(lab, "b")
    await add(lab, "c")

    assert await lab.status(second) == "failed"
    assert await lab.claim() is None
    await lab.finish(running, failed=Reason.CANCELED)
    assert (await lab.take()).task.id == "c"
    assert await lab.claim() is None


async def test_one_that_is_cloning_is_cancelled_too(lab: Lab) -> None:
    """It is never begun: its worker hears of it at its next step."""
    await add(lab, "a")
    cloning = await lab.take()

    await add(lab, "b")

    with pytest.raises(CancelAccepted):
        await lab.advance(cloning)
    await lab.finish(cloning, failed=Reason.CANCELED)
    assert (await lab.take()).task.id == "b"


async def test_the_newer_one_goes_on_when_the_worker_of_the_older_is_killed(lab: Lab) -> None:
    """REAP ends the older one as cancelled and lets the gate go; what its worker says is fenced."""
    first = await add(lab, "a")
    running = await lab.take("w1")
    await lab.advance(running)
    await add(lab, "b")

    await lab.lose("w1")

    assert await lab.status(first) == "failed"
    assert (await lab.take("w2")).task.id == "b"
    with pytest.raises(Fenced):
        await lab.finish(running)


async def test_a_follow_up_of_the_older_one_does_not_run_beside_the_newer(lab: Lab) -> None:
    """Whatever queued it: a run with a key takes the place of the key, or waits for it."""
    first = await add(lab, "a")
    await lab.run_next()
    await add(lab, "b")
    running = await lab.take()
    await lab.advance(running)

    await lab.instruct(first)

    assert await lab.claim() is None
    await lab.finish(running)
    assert (await lab.take()).task.id == "a"


async def test_a_queued_follow_up_is_superseded_and_its_task_is_as_before(lab: Lab) -> None:
    """What was delivered stays delivered."""
    first = await add(lab, "a")
    await lab.run_next()
    await lab.instruct(first)

    await add(lab, "b")

    assert await lab.status(first) == "completed"
    assert (await lab.take()).task.id == "b"


async def test_one_that_pushes_ends_by_itself(lab: Lab) -> None:
    """It has no agent any more, and can no more be cancelled than by a client."""
    first = await add(lab, "a")
    await lab.run_next()
    await lab.publish(first)
    pushing = await lab.take(lane=Lane.PUBLISH)
    await lab.begin_push(pushing)

    await add(lab, "b")

    assert "cancel" not in await lab.document(first)
    assert (await lab.take()).task.id == "b"


async def test_the_gate_of_a_key_lets_one_run_through_whatever_the_policy(lab: Lab) -> None:
    """Two follow-ups of two tasks with the key run one after the other."""
    for task in ("a", "b"):
        await add(lab, task, "reject")
        await lab.run_next()
    await lab.instruct("default/a")
    await lab.instruct("default/b")

    first = await lab.take()
    assert await lab.claim() is None
    await lab.run(first)
    assert await lab.run_next()


async def test_no_policy_opens_the_gate_of_a_key(lab: Lab) -> None:
    """Limits are replaced when a process starts; this one is no limit that somebody sets."""
    await add(lab, "a")
    await lab.take()
    await add(lab, "b")

    await lab.store.set_limits({"tenant:*": 0})
    await lab.reap()

    assert await lab.claim() is None


# -- the key itself


async def test_the_idempotency_key_is_looked_at_first(lab: Lab) -> None:
    """A repeat of the same request is the same task, also when the key is held by another now."""
    await submit(lab, "a", "reject", key="k")
    assert (await submit(lab, "b", "reject", key="k")).rest == ("a",)
    await lab.run_next()

    assert (await submit(lab, "c", "reject", key="k")).rest == ("a",)


async def test_a_coalesced_request_is_repeated_as_itself(lab: Lab) -> None:
    """Its Idempotency-Key leads to the task it shares, also when that has ended."""
    await add(lab, "a", "coalesce")
    await submit(lab, "b", "coalesce", key="k")
    await lab.run_next()

    reply = await submit(lab, "c", "coalesce", key="k")

    assert (reply.word, reply.rest) == ("dup", ("a",))


async def test_a_key_that_an_older_process_left_held_is_free(lab: Lab) -> None:
    """Its scripts end a task without taking it out; nobody waits for that one."""
    ref = await add(lab, "a", "reject")
    await lab.run_next()
    await lab.redis.zadd(lab.keys.dedup("default", HASH), {"a": 1, "gone": 2})

    assert (await submit(lab, "b", "reject")).word == "ok"

    world = await lab.world()
    assert list(world.get(f"tenant:default:dedup:{HASH}")) == ["b"]
    assert f"tenant:default:dedup:{HASH}" in world.with_ttl
    assert world.document(ref)["status"] == "completed"


async def test_nothing_of_a_key_is_left_when_its_tasks_have_ended(lab: Lab) -> None:
    """No entry, no held gate."""
    await add(lab, "a")
    await add(lab, "b")
    await lab.run_next()

    world = await lab.world()
    assert not [name for name in world.values if "dedup" in name]


async def test_many_callers_at_once_make_one_task(lab: Lab) -> None:
    """Who comes first is decided in Redis."""
    replies = await asyncio.gather(*(submit(lab, f"t{n}", "coalesce") for n in range(20)))

    assert sorted(reply.word for reply in replies) == ["joined"] * 19 + ["ok"]
    assert len((await lab.world()).tasks) == 1
