"""Short of memory, Redis gives up agent events of what finished first, and nothing else."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from internal.task.event import new_event
from tests.support.queue_lab import Lab

pytestmark = pytest.mark.live_keys

_TEXT = "x" * 4_000


@pytest.fixture
async def full(lab: Lab) -> AsyncIterator[Lab]:
    """A lab on a Redis that is four fifths full, whatever lies in it."""
    used = int((await lab.redis.info("memory"))["used_memory"])
    await lab.redis.config_set("maxmemory", int(used / 0.8))
    try:
        yield lab
    finally:
        await lab.redis.config_set("maxmemory", 0)


async def _finished(lab: Lab, events: int = 300) -> str:
    """A task that an agent said much in."""
    ref = await lab.create()
    claim = await lab.take()
    await lab.advance(claim)
    for batch in range(1, events // 100 + 1):
        texts = [new_event("stream", "text", {"text": _TEXT}) for _ in range(100)]
        await lab.queue.append(claim, batch, texts)
    await lab.finish(claim)
    await lab.sleep(1)
    return ref


async def test_agent_events_of_the_oldest_finished_tasks_go_first(lab: Lab) -> None:
    """Their own states and their end stay, and each task says up to where it lost any."""
    old, new = await _finished(lab), await _finished(lab)
    running = await lab.create()
    claim = await lab.take()
    await lab.advance(claim)
    await lab.queue.append(claim, 1, [new_event("stream", "text", {"text": _TEXT})])
    used = int((await lab.redis.info("memory"))["used_memory"])
    await lab.redis.config_set("maxmemory", int(used / 0.76))

    gone, more = await lab.queue.trim_events(0.75)

    world = await lab.world()
    assert gone > 0
    assert world.document(old)["events_trimmed"] == "303"
    kept = world.names(old)
    assert kept[:3] == ["system/task_created", "system/state", "system/state"]
    assert kept[-1] == "result/task_completed"
    assert "stream/text" not in kept
    assert "stream/text" in world.names(running)
    while more:
        _, more = await lab.queue.trim_events(0.75)
    after = await lab.redis.info("memory")
    assert int(after["used_memory"]) <= 0.76 * used / 0.76
    await lab.redis.config_set("maxmemory", 0)
    assert "system/task_created" in (await lab.world()).names(new)
    assert await lab.queue.trim_events(0.75) == (0, False)
    await lab.finish(claim)
    for ref in (old, new):
        await lab.store.delete(ref)


async def test_a_task_with_a_long_log_of_our_own_does_not_keep_the_others(full: Lab) -> None:
    """Whoever pauses a task hundreds of times stops no trimming, and no reaper spins on it."""
    long = await full.create()
    for _ in range(510):  # four events each, and one call looks at 2,000
        await full.store.pause(long)
        await full.store.resume(long)
    await full.run(await full.take())
    await full.sleep(1)
    chatty = await _finished(full, events=100)
    used = int((await full.redis.info("memory"))["used_memory"])
    await full.redis.config_set("maxmemory", int(used / 0.9))

    rounds = [await full.queue.trim_events(0.5) for _ in range(3)]

    assert rounds == [(0, True), (100, True), (0, False)]
    for ref in (long, chatty):
        await full.store.delete(ref)


async def test_limits_are_written_although_redis_is_full(full: Lab) -> None:
    """Else no process could start, and so nobody could make room."""
    used = int((await full.redis.info("memory"))["used_memory"])
    await full.redis.config_set("maxmemory", used // 2)

    await full.store.set_limits({"tenant:*": 4})

    assert await full.redis.hgetall(full.keys.limits()) == {"tenant:*": "4"}
    await full.redis.delete(full.keys.limits())
