"""Accepting, listing and counting tasks, and what the store and the log answer."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from internal.task.event import new_event
from internal.task.eventlog import EventLog
from internal.task.model import Priority
from internal.task.queue import Lane
from internal.task.state import State
from internal.task.store import Reply
from tests.support.queue_lab import Lab

pytestmark = pytest.mark.live_keys


async def submit(lab: Lab, task: str, key: str, digest: str = "h") -> Reply:
    return await lab.submit(
        "default", task, "r", Priority.NORMAL, callback=False, key=key, digest=digest
    )


async def test_promise_18_a_repeated_request_is_one_task(lab: Lab) -> None:
    """The same key and body give the first task; the same key and another body are refused."""
    lab.twice = True
    assert (await submit(lab, "t1", "k")).word == "ok"

    assert await submit(lab, "t2", "k") == Reply("dup", ("t1",))
    assert await submit(lab, "t3", "k", "other") == Reply("conflict", ("t1",))
    assert set((await lab.world()).tasks) == {"default/t1"}


async def test_the_key_of_a_deleted_task_is_refused_not_used_again(lab: Lab) -> None:
    """Else a repeat would run the work a second time."""
    lab.twice = True
    await submit(lab, "t1", "k")
    await lab.store.cancel("default/t1")
    await lab.store.delete("default/t1")

    assert await submit(lab, "t2", "k") == Reply("deleted", ("t1",))


async def test_the_key_belongs_to_a_tenant(lab: Lab) -> None:
    """Two tenants may use the same one."""
    await lab.create("a", key="k")
    await lab.create("b", key="k")

    assert len((await lab.world()).tasks) == 2


async def test_what_is_no_task_is_refused_before_anything_is_written(lab: Lab) -> None:
    """A script that raises half-way would leave half a task."""
    before = await lab.world()

    with pytest.raises(Exception, match="not a task"):
        await lab.create(key="k", status="urgent")

    assert await lab.world() == before


async def test_a_listing_pages_newest_first_without_gap_or_repeat(lab: Lab) -> None:
    """The cursor holds when its task is deleted, and inside one millisecond."""
    for n in range(9):
        await lab.create(task=f"t{n}")
        if n % 3 == 2:
            await lab.sleep(0.001)
    await lab.store.cancel("default/t5")
    await lab.store.delete("default/t5")

    found: list[str] = []
    cursor = None
    while rows := await lab.store.ids("default", before=cursor, since_millis=None, count=2):
        found += [task for task, _ in rows]
        cursor = f"{rows[-1][1]}.{rows[-1][0]}"

    assert found == [f"t{n}" for n in (8, 7, 6, 4, 3, 2, 1, 0)]
    since = await lab.now() - 1
    recent = await lab.store.ids("default", before=None, since_millis=since, count=9)
    assert [task for task, _ in recent] == ["t8", "t7", "t6"]


async def test_counts_follow_every_change_of_state(lab: Lab) -> None:
    """They are what `/stats` shows; the depth has everything that wants a worker."""
    await lab.create()
    ref = await lab.create()
    await lab.take()
    claim = await lab.take()
    await lab.run(claim)
    await lab.publish(ref)

    counts = await lab.store.counts("default")

    assert {state: n for state, n in counts.items() if n} == {
        State.CLONING: 1,
        State.CREATING_PR: 1,
    }
    depth, since = await lab.store.queue()
    assert depth == 1
    assert since is not None
    assert since <= await lab.now()
    assert await lab.store.find("default", "nobody") is None
    assert [t.id for t in await lab.store.find_many("default", ["t2", "x", "t1"])] == ["t2", "t1"]


async def test_a_batch_of_events_is_added_once_and_read_from_any_number(lab: Lab) -> None:
    """Numbers have no hole; a repeated batch answers with the same last number."""
    lab.twice = True
    await lab.create()
    claim = await lab.take()
    batch = [new_event("stream", "text", {"text": f'line {n} \\ " ü'}) for n in range(3)]

    assert await lab.queue.append(claim, 1, batch) == 5
    assert await lab.queue.append(claim, 2, batch[:1]) == 6
    assert await lab.queue.append(claim, 2, batch) == 6

    log = EventLog(lab.redis, lab.keys)
    assert await log.last("default", "t1") == 6
    assert [e.number for e in await log.read("default", "t1", after=0, limit=4)] == [1, 2, 3, 4]
    assert [e.number for e in await log.read("default", "t1", after=4, limit=9)] == [5, 6]
    assert await log.read("default", "t1", after=6, limit=9) == []


async def test_every_envelope_is_published_as_it_is_stored(lab: Lab) -> None:
    """The channel carries the log; the done object follows the final event."""
    await lab.create()
    said: list[str] = []
    async with lab.redis.pubsub() as heard, asyncio.timeout(20):
        await heard.subscribe(lab.keys.stream_channel("t1"), lab.keys.done_channel("t1"))
        await lab.run_next()
        while len(said) < 5:
            message = cast(
                "dict[str, str] | None",
                await heard.get_message(ignore_subscribe_messages=True, timeout=1),
            )
            if message is not None:
                said.append(message["data"])

    stored = await EventLog(lab.redis, lab.keys).read("default", "t1", after=1, limit=9)
    assert said[:4] == [event.envelope for event in stored]
    assert said[4].startswith('{"task_id":"t1","status":"completed","changes_summary":{"files_')


async def test_a_bell_rings_for_new_work_and_carries_none(lab: Lab) -> None:
    """One entry, which goes away by itself when nobody listens."""
    for _ in range(3):
        await lab.create()

    world = await lab.world()
    assert world.get("bell:agent") == ["1"]
    assert "bell:agent" in world.with_ttl
    await lab.redis.delete(lab.keys.bell(Lane.AGENT, ""))
    assert await lab.claim()
    assert (await lab.world()).get("bell:agent") == ["1"], "the baton is passed on"
