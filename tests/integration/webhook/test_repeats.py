"""Every script that changes something may be sent twice, as redis-py does by itself."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from internal.rdb.keys import Keys
from internal.rdb.scripts import Reply, Script
from internal.webhook import scripts
from internal.webhook.model import Attempt, Verdict
from internal.webhook.outbox import Places
from internal.webhook.registry import Change
from tests.support.mailroom import Mailroom
from tests.support.virtual_time import CLOCK_SOURCE, VirtualTime
from tests.support.world import World

pytestmark = pytest.mark.live_keys

DELIVERED = Attempt(verdict=Verdict.DELIVERED, reason="http_200", status=200)


class Twice(Script):
    """Sent two times; the second call must change nothing, and its reply is the one that counts."""

    def __init__(self, script: Script) -> None:
        super().__init__(script.source, library=CLOCK_SOURCE)

    async def __call__(
        self, redis: Redis, keys: Sequence[str], args: Sequence[str | bytes | int | float]
    ) -> Reply:
        await super().__call__(redis, keys, args)
        before = await World.read(redis, Keys(keys[0]))
        reply = await super().__call__(redis, keys, args)
        assert await World.read(redis, Keys(keys[0])) == before, f"{args[:3]} changed something"
        return reply


@pytest.fixture
async def twice(mailroom: Mailroom, monkeypatch: pytest.MonkeyPatch) -> Mailroom:
    """The mailroom, with every script but CLAIM sent twice; its clock stands still."""
    await VirtualTime(mailroom.redis, mailroom.keys).advance(0)
    for name, script in list(vars(scripts).items()):
        if isinstance(script, Script):
            plain = Script(script.source, library=CLOCK_SOURCE)
            monkeypatch.setattr(scripts, name, plain if name == "CLAIM" else Twice(script))
    return mailroom


async def test_an_endpoint_s_life_repeated_at_every_step_is_the_same_life(
    twice: Mailroom,
) -> None:
    """
    Made once, rotated once, tried once, switched once, removed once.
    """
    registry = twice.registry
    made = await twice.register("https://hooks.example/")
    name = made.endpoint.id
    rotated = await registry.rotate("default", name)
    tested = await registry.send_test("default", name)
    off = await registry.change("default", name, Change(enabled=False, description="x"))
    on = await registry.change("default", name, Change(enabled=True))
    await registry.delete("default", name)

    assert (rotated.endpoint.revision, len(rotated.endpoint.old_secrets)) == (2, 1)
    assert tested.endswith(name)
    assert (off.off is None, on.off) == (False, None)
    assert list(await registry.list("default")) == []


async def test_a_delivery_settled_and_asked_for_again_twice_counts_once(twice: Mailroom) -> None:
    """
    One attempt in the log, one in the counters, one place in the outbox.
    """
    delivery = await twice.post("https://hooks.example/")
    for round_number in (1, 2):
        (claimed,), _ = await twice.outbox.claim(
            limit=9, lease_seconds=60, places=Places(destination=9, tenant=9)
        )
        settled = await twice.outbox.settle(claimed, DELIVERED, retry_in_seconds=None)
        assert settled.recorded
        assert await twice.counted("success") == round_number

        await twice.log.redeliver("default", delivery)

    (record,) = (await twice.log.list("default", limit=9)).deliveries
    assert [past.number for past in record.log] == [1, 2]
    assert record.due_at is not None
