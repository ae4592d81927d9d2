"""The outbox in a real Redis: leases, tokens, ends."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from internal.webhook.model import Attempt, Delivery, Verdict
from internal.webhook.outbox import Places
from internal.webhook.traffic import Room
from tests.support.mailroom import Mailroom, eventually

DELIVERED = Attempt(verdict=Verdict.DELIVERED, reason="http_200", status=200)
FAILED = Attempt(verdict=Verdict.FAILED, reason="timeout", timed_out=True)
URL = "http://Hooks.Example:8080/secret?x=1"


async def claim(
    mailroom: Mailroom,
    *,
    limit: int = 10,
    lease_seconds: float = 60,
    places: int = 100,
    tenant_places: int = 100,
    rooms: Sequence[Room] = (),
) -> list[Delivery]:
    """What one dispatcher gets."""
    deliveries, _ = await mailroom.outbox.claim(
        limit=limit,
        lease_seconds=lease_seconds,
        places=Places(destination=places, tenant=tenant_places),
        rooms=rooms,
    )
    return deliveries


async def claim_again(mailroom: Mailroom) -> Delivery:
    """The only delivery, as soon as its lease is over."""
    got: list[Delivery] = []

    async def given() -> bool:
        got.extend(await claim(mailroom))
        return bool(got)

    await eventually(given)
    return got[0]


async def test_a_claim_hands_out_what_the_script_wrote(mailroom: Mailroom) -> None:
    """
    Body and url come as written; the endpoint is the part of the url that may be logged.
    """
    identifier = await mailroom.post(URL)

    [delivery] = await claim(mailroom)

    assert (delivery.id, delivery.url, delivery.body) == (identifier, URL, '{"a":"ü"}')
    assert (delivery.tenant, delivery.task_id, delivery.event) == (
        "default",
        "t1",
        "task.completed",
    )
    assert (delivery.trace_id, delivery.tries) == ("trace-1", 0)
    assert delivery.origin == "http://hooks.example:8080"
    assert delivery.destination == "default/http://hooks.example:8080"
    assert (delivery.event_id, delivery.endpoint, delivery.sealed_secrets) == (
        identifier,
        None,
        (),
    )


async def test_two_dispatchers_never_own_one_delivery(mailroom: Mailroom) -> None:
    """
    Concurrent claims share the due deliveries out; none is in two hands, none is left.
    """
    posted = {await mailroom.post(URL, name=f"t{number}_1") for number in range(40)}

    shares = await asyncio.gather(*(claim(mailroom, limit=7) for _ in range(8)))

    given = [delivery.id for share in shares for delivery in share]
    assert len(given) == len(posted)
    assert set(given) == posted
    assert await claim(mailroom) == []


async def test_a_lease_that_ended_goes_to_another_and_the_first_is_fenced(
    mailroom: Mailroom,
) -> None:
    """
    A slow dispatcher cannot settle what is another's by now.
    """
    identifier = await mailroom.post(URL)
    [slow] = await claim(mailroom, lease_seconds=0.01)
    quick = await claim_again(mailroom)

    assert not (await mailroom.outbox.settle(slow, DELIVERED, retry_in_seconds=None)).recorded
    assert "status" not in await mailroom.record(identifier)
    assert (await mailroom.outbox.settle(quick, DELIVERED, retry_in_seconds=None)).recorded
    assert (await mailroom.record(identifier))["status"] == "delivered"


async def test_a_lease_that_ended_can_still_be_settled_while_nobody_took_it(
    mailroom: Mailroom,
) -> None:
    """
    After an outage the result of an attempt is worth more than the clock.
    """
    identifier = await mailroom.post(URL)
    [late] = await claim(mailroom, lease_seconds=0)

    assert (await mailroom.outbox.settle(late, DELIVERED, retry_in_seconds=None)).recorded
    assert (await mailroom.record(identifier))["status"] == "delivered"


@pytest.mark.parametrize(
    ("attempt", "status", "counter"),
    [(DELIVERED, "delivered", "success"), (FAILED, "failed", "failed")],
)
async def test_an_ended_delivery_is_counted_once_and_expires(
    mailroom: Mailroom, attempt: Attempt, status: str, counter: str
) -> None:
    """
    Settling again, as after a lost reply, changes nothing; the record stays for 30 days.
    """
    identifier = await mailroom.post(URL)
    [delivery] = await claim(mailroom)

    for _ in range(3):
        assert (await mailroom.outbox.settle(delivery, attempt, retry_in_seconds=None)).recorded

    record = await mailroom.record(identifier)
    assert (record["status"], record["attempts"]) == (status, "1")
    assert record["last_reason"] == attempt.reason
    assert await mailroom.counted(counter) == 1
    assert await mailroom.due_in_seconds(identifier) is None
    assert 0 < await mailroom.redis.ttl(mailroom.keys.delivery(identifier)) <= 30 * 24 * 3_600


async def test_a_retry_is_due_later_with_the_attempt_counted(mailroom: Mailroom) -> None:
    """
    The delivery stays without an end, and repeated settling counts one attempt.
    """
    identifier = await mailroom.post(URL)
    [delivery] = await claim(mailroom)

    for _ in range(2):
        assert (await mailroom.outbox.settle(delivery, FAILED, retry_in_seconds=600)).recorded

    due = await mailroom.due_in_seconds(identifier)
    assert due is not None
    assert 500 < due <= 600
    assert (await mailroom.record(identifier))["attempts"] == "1"
    assert await claim(mailroom) == []
    assert await mailroom.counted("failed") == 0


async def test_the_attempts_made_are_told_to_the_next_claim(mailroom: Mailroom) -> None:
    """
    The schedule counts on them.
    """
    await mailroom.post(URL)
    [first] = await claim(mailroom)
    await mailroom.outbox.settle(first, FAILED, retry_in_seconds=0)

    second = await claim_again(mailroom)

    assert (second.id, second.tries) == (first.id, 1)


async def test_a_delivery_erased_with_its_task_leaves_the_outbox(mailroom: Mailroom) -> None:
    """
    Whether it waits or is on its way.
    """
    waiting = await mailroom.post(URL, name="t1_1")
    await mailroom.redis.delete(mailroom.keys.delivery(waiting))

    assert await claim(mailroom) == []
    assert await mailroom.due_in_seconds(waiting) is None

    sent = await mailroom.post(URL, name="t2_1")
    [delivery] = await claim(mailroom)
    await mailroom.redis.delete(mailroom.keys.delivery(sent))

    assert not (await mailroom.outbox.settle(delivery, FAILED, retry_in_seconds=5)).recorded
    assert await mailroom.record(sent) == {}
    assert await mailroom.counted("failed") == 0


async def test_an_endpoint_gets_no_more_than_its_places(mailroom: Mailroom) -> None:
    """
    Another endpoint is served from behind it, and the rest is due as soon as there are places.
    """
    for number in range(10):
        await mailroom.post(URL, name=f"a{number}_1")
    await mailroom.post("http://other.example/", name="z_1")

    given = await claim(mailroom, places=4)

    endpoints = [delivery.origin for delivery in given]
    assert endpoints.count("http://hooks.example:8080") == 4
    assert endpoints.count("http://other.example") == 1
    assert len(await claim(mailroom, places=4)) == 4


async def test_a_crowd_for_one_endpoint_does_not_hide_the_others(mailroom: Mailroom) -> None:
    """
    A call looks at a bounded number of entries and says that there may be more.
    """
    for number in range(300):
        await mailroom.post(URL, name=f"a{number:03}_1")
    await mailroom.post("http://other.example/", name="z_1")
    busy = Room(name="default/http://hooks.example:8080", places=0, put_off_seconds=30)

    async def look() -> tuple[list[Delivery], bool]:
        return await mailroom.outbox.claim(
            limit=10, lease_seconds=60, places=Places(destination=1, tenant=9), rooms=[busy]
        )

    first, more = await look()
    second, _ = await look()

    assert (first, more) == ([], True)
    assert [delivery.origin for delivery in second] == ["http://other.example"]


async def test_the_bell_wakes_who_waits(mailroom: Mailroom) -> None:
    """
    A ring is used up by one; it carries no work.
    """
    await mailroom.post(URL)

    await mailroom.outbox.await_bell()

    assert await mailroom.redis.exists(mailroom.keys.outbox_bell()) == 0


async def test_what_is_due_at_a_shut_destination_is_put_off(mailroom: Mailroom) -> None:
    """
    Without an attempt, until it is probed; other destinations are served meanwhile.
    """
    waiting = await mailroom.post(URL, name="a_1")
    await mailroom.post("http://other.example/", name="z_1")
    shut = Room(name="default/http://hooks.example:8080", places=-1, put_off_seconds=30)

    [given] = await claim(mailroom, rooms=[shut])

    due = await mailroom.due_in_seconds(waiting)
    assert given.origin == "http://other.example"
    assert due is not None
    assert 20 < due <= 30
    assert (await mailroom.record(waiting))["attempts"] == "0"


async def test_a_tenant_cannot_take_all_places(mailroom: Mailroom) -> None:
    """
    However many hosts it makes up, another tenant's delivery behind them is served.
    """
    for number in range(10):
        await mailroom.post(f"http://h{number}.example/", name=f"a{number}_1")
    await mailroom.post("http://h.example/", name="z_1", tenant="quiet")

    given = await claim(mailroom, tenant_places=3)

    assert [delivery.tenant for delivery in given].count("default") == 3
    assert [delivery.tenant for delivery in given].count("quiet") == 1


async def test_two_tenants_at_one_host_do_not_share_places(mailroom: Mailroom) -> None:
    """
    Else one could hold up what the other waits for, by sending nonsense there.
    """
    for number in range(5):
        await mailroom.post(URL, name=f"a{number}_1")
        await mailroom.post(URL, name=f"b{number}_1", tenant="other")

    given = await claim(mailroom, places=2)

    assert sorted(delivery.tenant for delivery in given) == ["default"] * 2 + ["other"] * 2
