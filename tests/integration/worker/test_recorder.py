"""A run's events on their way to the log."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from internal.errors import Fenced
from internal.rdb.keys import Keys
from internal.task.event import new_event
from internal.worker.recorder import BATCH_BYTES, Recorder
from tests.support.queue_lab import Lab
from tests.support.waiting import until

pytestmark = pytest.mark.live_keys


async def test_events_are_in_the_log_in_order_without_a_flush(redis_client: Redis) -> None:
    """
    What an agent says is there for its viewers at once or a batch later, never out of order.
    """
    lab = Lab(redis_client, Keys("lab:"))
    ref = await lab.create()
    claim = await lab.take()
    spoken = [str(number) for number in range(200)]

    async def told() -> list[str]:
        events = (await lab.world()).events(ref)
        return [event["data"]["text"] for event in events if event["type"] == "stream"]

    async with Recorder(lab.queue, claim) as recorder:
        for text in spoken:
            recorder.add(new_event("stream", "text", {"text": text}))
            await asyncio.sleep(0)

        async def is_whole() -> bool:
            return await told() == spoken

        await until("all events are in the log", is_whole)


async def test_a_lost_claim_with_much_left_to_say_leaves_the_event_loop_free(
    redis_client: Redis,
) -> None:
    """
    When a batch is fenced, what waits behind it is forgotten, and nothing spins on it.
    """
    lab = Lab(redis_client, Keys("lab:"))
    await lab.create()
    claim = await lab.take()
    await lab.queue.hand_back(claim, lab.operation(), reason="shutdown")

    async with Recorder(lab.queue, claim) as recorder:
        for _ in range(4):
            recorder.add(new_event("stream", "text", {"text": "x" * BATCH_BYTES}))
        before = asyncio.all_tasks()
        async with asyncio.timeout(30):
            await asyncio.sleep(0.01)  # returns only while the event loop moves
            assert before <= asyncio.all_tasks()  # its task was not ended by a test's time limit
            await recorder.room()
            with pytest.raises(Fenced):
                await recorder.flush()
            await asyncio.sleep(0.01)
