"""Registered endpoints: which secrets sign, what switches them off, what becomes of what waits."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from structlog.testing import capture_logs

from codeforge.wiring.sealed import SEALED_KINDS
from internal.crypto.box import Box
from internal.errors import Conflict, Gone, NotFound
from internal.rdb.rewrap import SealedValues
from internal.webhook import scripts
from internal.webhook.model import DeliveryRecord, Off, Progress
from internal.webhook.registry import Change
from internal.webhook.schedule import Schedule
from internal.webhook.signer import Signer
from tests.support.mailroom import SECRET, Mailroom, dispatching, eventually
from tests.support.receiver import Received, Receiver, Reply
from tests.support.redis import RedisServer
from tests.support.virtual_time import VirtualTime

pytestmark = pytest.mark.live_keys

DAY = 86_400
HANGS = Reply(delay_seconds=3_600)


@pytest.fixture
async def time(mailroom: Mailroom) -> AsyncIterator[VirtualTime]:
    """The time of the webhook scripts, and of a dispatcher that is given it."""
    time = VirtualTime(mailroom.redis, mailroom.keys)
    await time.advance(0)
    with time.rules(scripts):
        yield time


async def only(mailroom: Mailroom) -> DeliveryRecord:
    """The one delivery there is, as clients see it."""
    (record,) = (await mailroom.log.list("default", limit=10)).deliveries
    return record


async def test_an_endpoints_own_secret_signs(mailroom: Mailroom, receiver: Receiver) -> None:
    """
    And not the deployment's: who has one endpoint's secret cannot forge for another.
    """
    made = await mailroom.register(receiver.url())
    delivery = await mailroom.post(endpoint=made.endpoint.id)

    async with dispatching(mailroom.outbox):
        await mailroom.until(delivery, status="delivered")

    [request] = receiver.requests
    assert request.headers["webhook-id"] == "evt_t1_7"
    assert request.headers["x-signature-256"] == Signer(made.secret).body_signature(request.body)
    assert Webhook(made.secret).verify(request.body, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body, dict(request.headers))


async def test_both_secrets_sign_for_a_day_after_a_rotation(
    mailroom: Mailroom, receiver: Receiver, time: VirtualTime
) -> None:
    """
    A delivery that was posted before is signed with both: a receiver with the old secret alone
    and one with the new alone verify it; a day later only the new one signs.
    """
    made = await mailroom.register(receiver.url())
    early = await mailroom.post(endpoint=made.endpoint.id)
    rotated = await mailroom.registry.rotate("default", made.endpoint.id)

    async with dispatching(mailroom.outbox):
        await mailroom.until(early, status="delivered")
        await time.advance(DAY + 1)
        late = await mailroom.post(name="t2_9", endpoint=made.endpoint.id)
        await mailroom.until(late, status="delivered")

    first, second = receiver.requests
    for secret in (made.secret, rotated.secret):
        assert _is_signed_with(secret, first)
    assert _is_signed_with(rotated.secret, second)
    assert not _is_signed_with(made.secret, second)
    signed = Signer(rotated.secret).body_signature(first.body)
    assert first.headers["x-signature-256"] == signed


async def test_rotations_at_the_same_time_all_count(mailroom: Mailroom) -> None:
    """
    Each gets a revision of its own; none is lost.
    """
    made = await mailroom.register("https://hooks.example/")

    rotated = await asyncio.gather(
        *(mailroom.registry.rotate("default", made.endpoint.id) for _ in range(5))
    )

    endpoint = await mailroom.registry.get("default", made.endpoint.id)
    assert (endpoint.revision, len(endpoint.old_secrets)) == (6, 5)
    assert len({it.secret for it in rotated}) == 5


async def test_what_waits_goes_where_the_endpoint_is_now(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    A URL that was mistyped can be mended without losing events.
    """
    made = await mailroom.register("https://mistyped.example/")
    delivery = await mailroom.post(endpoint=made.endpoint.id)
    await mailroom.registry.change("default", made.endpoint.id, Change(url=receiver.url("/right")))

    async with dispatching(mailroom.outbox):
        await mailroom.until(delivery, status="delivered")

    assert [request.path for request in receiver.requests] == ["/right"]


@pytest.mark.parametrize("what", ["endpoint_off", "endpoint_deleted"])
async def test_what_waits_for_a_lost_endpoint_is_given_up(
    mailroom: Mailroom, receiver: Receiver, what: str
) -> None:
    """
    Nothing is sent; the log says why; sending it again is refused while that holds.
    """
    made = await mailroom.register(receiver.url())
    delivery = await mailroom.post(endpoint=made.endpoint.id)
    if what == "endpoint_off":
        await mailroom.registry.change("default", made.endpoint.id, Change(enabled=False))
    else:
        await mailroom.registry.delete("default", made.endpoint.id)

    async with dispatching(mailroom.outbox):
        await mailroom.until(delivery, status="failed", last_reason=what)

    assert receiver.requests == []
    assert ((await only(mailroom)).reason, await mailroom.counted("failed")) == (what, 1)
    with pytest.raises(Conflict):
        await mailroom.log.redeliver("default", delivery)


async def test_gone_switches_an_endpoint_off(mailroom: Mailroom, receiver: Receiver) -> None:
    """
    410 of one delivery; the other is not sent any more. It is said in the log, with what to do.
    """
    receiver.answer(Reply(status=410, body=b"bye"))
    made = await mailroom.register(receiver.url())
    first = await mailroom.post(endpoint=made.endpoint.id)

    with capture_logs() as logs:
        async with dispatching(mailroom.outbox):
            await mailroom.until(first, status="failed", last_reason="http_410")
            second = await mailroom.post(name="t2_9", endpoint=made.endpoint.id)
            await mailroom.until(second, status="failed", last_reason="endpoint_off")

    endpoint = await mailroom.registry.get("default", made.endpoint.id)
    assert endpoint.off is Off.GONE
    assert endpoint.off_at is not None
    assert await mailroom.redis.hget(mailroom.keys.webhook_endpoints("default"), endpoint.id) == ""
    assert [entry["why"] for entry in logs if entry["event"] == "webhook.endpoint_off"] == ["gone"]
    assert len(receiver.requests) == 1


async def test_an_endpoint_switched_on_again_gets_what_is_redelivered(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    The failures are forgotten; the event comes with the id it always had.
    """
    receiver.answer(Reply(status=410), Reply(status=204))
    made = await mailroom.register(receiver.url())
    delivery = await mailroom.post(endpoint=made.endpoint.id)

    async with dispatching(mailroom.outbox):
        await mailroom.until(delivery, status="failed")
        endpoint = await mailroom.registry.change("default", made.endpoint.id, Change(enabled=True))
        await mailroom.log.redeliver("default", delivery)
        await mailroom.until(delivery, status="delivered")

    assert (endpoint.off, endpoint.failing_since) == (None, None)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert (await only(mailroom)).attempts == 2


async def test_days_of_only_failures_switch_an_endpoint_off(
    mailroom: Mailroom, receiver: Receiver, time: VirtualTime
) -> None:
    """
    Not before five days are over, and not when a success came in between.
    """
    receiver.answer(Reply(status=500))
    made = await mailroom.register(receiver.url())
    name = made.endpoint.id

    async def fail(number: int) -> Off | None:
        delivery = await mailroom.post(name=f"t{number}_1", endpoint=name)
        await mailroom.until(delivery, status="failed")
        return (await mailroom.registry.get("default", name)).off

    async with dispatching(mailroom.outbox, schedule=Schedule(waits=()), clock=time):
        for number in range(9):
            assert await fail(number) is None
            await time.advance(DAY / 2)  # beyond the breaker's pause, too
        receiver.answer(Reply(), Reply(status=500))
        good = await mailroom.post(name="good_1", endpoint=name)
        await mailroom.until(good, status="delivered")
        await time.advance(DAY)
        for number in range(10, 20):
            assert await fail(number) is None
            await time.advance(DAY / 2)
        assert await fail(20) is Off.FAILING


async def test_promise_17_an_endpoint_down_for_a_day_gets_everything_once(
    mailroom: Mailroom, receiver: Receiver, time: VirtualTime
) -> None:
    """
    The standard schedule, on a clock that the test moves: failures for 24 h, then the next attempt
    delivers, with the same id, and the log tells all of it.
    """
    receiver.answer(Reply(status=503))
    made = await mailroom.register(receiver.url())
    delivery = await mailroom.post(endpoint=made.endpoint.id)
    began, attempts = time.monotonic(), 0

    async with dispatching(mailroom.outbox, schedule=Schedule(), clock=time):
        while time.monotonic() - began < DAY:
            attempts += 1
            assert "status" not in await mailroom.until(delivery, attempts=str(attempts))
            due = await only(mailroom)
            assert due.due_at is not None
            await time.advance((due.due_at - time.now()).total_seconds() + 0.001)
        receiver.answer(Reply(status=200))
        await mailroom.until(delivery, status="delivered")

    record = await only(mailroom)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert (record.status, record.reason) == (Progress.DELIVERED, "http_200")
    assert [past.status for past in record.log[:-1]] == [503] * (len(record.log) - 1)
    assert 7 <= record.attempts <= 9
    endpoint = await mailroom.registry.get("default", made.endpoint.id)
    assert (endpoint.failing_since, endpoint.off) == (None, None)


async def test_a_dead_endpoint_is_left_alone_and_probed(
    mailroom: Mailroom, receiver: Receiver, time: VirtualTime
) -> None:
    """
    After some failures in a row the rest waits without an attempt; one probe, then all of it.
    """
    receiver.answer(Reply(status=500))
    made = await mailroom.register(receiver.url())
    for number in range(30):
        await mailroom.post(name=f"t{number}_1", endpoint=made.endpoint.id)

    async def untouched() -> int:
        page = await mailroom.log.list("default", limit=50)
        return [it.attempts for it in page.deliveries].count(0)

    async def at_rest() -> bool:
        due_now = await mailroom.redis.zcount(mailroom.keys.outbox(), "-inf", time.millis)
        recorded = 30 - await untouched()
        return int(due_now) == 0 and recorded == len(receiver.requests)

    async def all_delivered() -> bool:
        page = await mailroom.log.list("default", limit=50, status=Progress.DELIVERED)
        return len(page.deliveries) == 30

    async with dispatching(mailroom.outbox, schedule=Schedule((600,), jitter=0), clock=time):
        await receiver.wait_for(5)
        await eventually(at_rest)
        sent = len(receiver.requests)
        assert sent <= 8

        await time.advance(31)
        await receiver.wait_for(sent + 1)
        await eventually(at_rest)
        assert len(receiver.requests) == sent + 1

        receiver.answer(Reply(status=200))
        await time.advance(61)
        await receiver.wait_for(30)
        await time.advance(600)
        await eventually(all_delivered)


async def test_what_somebody_asks_for_is_sent_although_the_breaker_is_open(
    mailroom: Mailroom, receiver: Receiver, time: VirtualTime
) -> None:
    """
    Who has mended a receiver does not wait for the next probe: a test or a redelivery is one, and
    its success lets everything through.
    """
    receiver.answer(Reply(status=500))
    made = await mailroom.register(receiver.url())
    for number in range(5):
        await mailroom.post(name=f"t{number}_1", endpoint=made.endpoint.id)

    async with dispatching(mailroom.outbox, schedule=Schedule(waits=()), clock=time):
        for number in range(5):
            await mailroom.until(f"evt_t{number}_1_{made.endpoint.id}", status="failed")
        waiting = await mailroom.post(name="later_1", endpoint=made.endpoint.id)
        receiver.answer(Reply(status=200))
        tested = await mailroom.registry.send_test("default", made.endpoint.id)
        await mailroom.until(tested, status="delivered")
        await mailroom.log.redeliver("default", f"evt_t0_1_{made.endpoint.id}")
        await mailroom.until(f"evt_t0_1_{made.endpoint.id}", status="delivered")
        await time.advance(31)
        await mailroom.until(waiting, status="delivered")


async def test_the_log_of_a_delivery_keeps_ten_attempts_and_no_secret(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    Time, reason, status, seconds and the first KiB of each answer, with secrets and controls out.
    """
    made = await mailroom.register(receiver.url())
    said = f"you sent {made.secret} \x00\x1b[31m and ghp_{'a' * 36} {'ü' * 2_000}"
    receiver.answer(Reply(status=500, body=said.encode()))
    delivery = await mailroom.post(endpoint=made.endpoint.id)

    async with dispatching(mailroom.outbox, schedule=Schedule((0.01,) * 3, jitter=0)):
        await mailroom.until(delivery, status="failed")

    record = await only(mailroom)
    assert [past.number for past in record.log] == [1, 2, 3, 4]
    assert [past.id for past in record.log] == [
        request.headers["x-codeforge-delivery"] for request in receiver.requests
    ]
    answer = record.log[0].answer
    assert answer.startswith("you sent *** ")
    assert "ghp_" not in answer
    assert "\x1b" not in answer
    assert 1_000 <= len(answer.encode()) <= 1_024
    assert all(past.seconds >= 0 and past.at.tzinfo for past in record.log)


async def test_the_oldest_attempts_leave_the_log(
    mailroom: Mailroom, receiver: Receiver, time: VirtualTime
) -> None:
    """
    However often a delivery is tried, its record is bounded.
    """
    receiver.answer(Reply(status=500))
    delivery = await mailroom.post(receiver.url())

    async with dispatching(mailroom.outbox, schedule=Schedule(waits=()), clock=time):
        for count in range(1, 13):
            await mailroom.until(delivery, attempts=str(count), status="failed")
            await time.advance(DAY)
            await mailroom.log.redeliver("default", delivery)
        await mailroom.until(delivery, attempts="13", status="failed")

    assert [past.number for past in (await only(mailroom)).log] == list(range(4, 14))


async def test_a_delivery_on_its_way_is_not_sent_twice_by_hand(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    Redelivering while an attempt runs is a conflict; one that waits for its time is due at once.
    """
    receiver.answer(HANGS)
    delivery = await mailroom.post(receiver.url())
    async with dispatching(mailroom.outbox):
        await receiver.wait_for(1)
        with pytest.raises(Conflict):
            await mailroom.log.redeliver("default", delivery)

    receiver.answer(Reply(status=500), Reply(status=200))
    later = await mailroom.post(receiver.url(), name="t2_9")
    async with dispatching(mailroom.outbox, schedule=Schedule((3_600,))):
        await mailroom.until(later, attempts="1")
        await mailroom.log.redeliver("default", later)
        await mailroom.until(later, status="delivered")


async def test_a_delivery_whose_body_is_erased_cannot_come_again(mailroom: Mailroom) -> None:
    """
    It is given up, and says so; an unknown one is not found.
    """
    delivery = await mailroom.post("https://hooks.example/")
    await mailroom.redis.delete(mailroom.keys.task_bodies("default", "t1"))

    with pytest.raises(Gone):
        await mailroom.log.redeliver("default", delivery)
    with pytest.raises(NotFound):
        await mailroom.log.redeliver("default", "evt_unknown_1")

    async with dispatching(mailroom.outbox):
        await mailroom.until(delivery, status="failed", last_reason="body_erased")
    assert await mailroom.due_in_seconds(delivery) is None


async def test_a_dispatcher_killed_at_an_endpoint_is_replaced(
    mailroom: Mailroom, receiver: Receiver, redis_server: RedisServer
) -> None:
    """
    `kill -9` between sending and recording, in the middle of a rotation: the event comes again with
    its id, signed with both secrets.
    """
    receiver.answer(HANGS, Reply(status=200))
    made = await mailroom.register(receiver.url())
    delivery = await mailroom.post(endpoint=made.endpoint.id)
    await mailroom.die_sending(redis_server.url, receiver)
    rotated = await mailroom.registry.rotate("default", made.endpoint.id)

    async with dispatching(mailroom.outbox):
        await mailroom.until(delivery, status="delivered", attempts="1")

    before, after = receiver.requests
    assert before.headers["webhook-id"] == after.headers["webhook-id"] == "evt_t1_7"
    assert Webhook(made.secret).verify(before.body, dict(before.headers))
    for secret in (made.secret, rotated.secret):
        assert Webhook(secret).verify(after.body, dict(after.headers))


async def test_an_unreadable_secret_costs_an_attempt_not_the_event(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    A master key that was forgotten in the settings can be given back.
    """
    made = await mailroom.register(receiver.url())
    record = mailroom.keys.webhook_endpoint("default", made.endpoint.id)
    sealed = str(await mailroom.redis.hget(record, "secret:1"))
    await mailroom.redis.hset(record, "secret:1", sealed.replace('"kid":"k"', '"kid":"other"'))
    delivery = await mailroom.post(endpoint=made.endpoint.id)

    async with dispatching(mailroom.outbox, schedule=Schedule((0.2,) * 100, jitter=0)):
        await mailroom.until(delivery, last_reason="secret_unreadable")
        assert receiver.requests == []
        await mailroom.redis.hset(record, "secret:1", sealed)
        await mailroom.until(delivery, status="delivered")


async def test_secrets_survive_a_change_of_the_master_key(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    Old ones too: both are put under the new key and sign as before, without the old key.
    """
    made = await mailroom.register(receiver.url())
    rotated = await mailroom.registry.rotate("default", made.endpoint.id)
    both = Box({"k": bytes(32), "n": bytes(range(32))}, active="n")
    sealed = SealedValues(mailroom.redis, mailroom.keys, SEALED_KINDS)

    done = await sealed.rewrap(both, per_second=1_000)
    delivery = await mailroom.post(endpoint=made.endpoint.id)
    async with dispatching(mailroom.outbox, box=Box({"n": bytes(range(32))}, active="n")):
        await mailroom.until(delivery, status="delivered")

    assert (done.moved, done.broken) == (2, 0)
    [request] = receiver.requests
    for secret in (made.secret, rotated.secret):
        assert Webhook(secret).verify(request.body, dict(request.headers))


def _is_signed_with(secret: str, received: Received) -> bool:
    """As the reference library signs, at the time that the sender says."""
    sent_at = datetime.fromtimestamp(int(received.headers["webhook-timestamp"]), UTC)
    identifier = received.headers["webhook-id"]
    signature = Webhook(secret).sign(identifier, sent_at, received.body.decode())
    return signature in received.headers["webhook-signature"].split()
