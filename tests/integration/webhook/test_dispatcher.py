"""Deliveries from a real Redis to a real receiver, with everything that goes wrong on the way."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import pytest
from standardwebhooks.webhooks import Webhook
from structlog.testing import capture_logs

from internal.clock import SystemClock
from internal.egress.client import HttpClient
from internal.egress.guard import Guard
from internal.rdb.client import connect
from internal.webhook.dispatcher import Dispatcher, Limits
from internal.webhook.outbox import Outbox
from internal.webhook.schedule import Schedule
from internal.webhook.secrets import SigningSecrets
from internal.webhook.sender import Sender
from internal.webhook.signer import Signer
from tests.support.mailroom import AT_ONCE, BOX, SECRET, Mailroom, dispatching, eventually
from tests.support.receiver import Receiver, Reply
from tests.support.redis import RedisServer

HANGS = Reply(delay_seconds=3_600)


class Door:
    """A name for the server's socket that can be taken away: an outage without a restart."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._name = socket.with_name("door")
        self.url = f"unix://{self._name}"

    def open(self) -> None:
        """Let clients connect."""
        self._name.symlink_to(self._socket)

    def close(self) -> None:
        """Let no more clients connect."""
        self._name.unlink()


async def test_a_delivery_arrives_signed_in_both_forms(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    The exact body is sent, and the reference library verifies it.
    """
    identifier = await mailroom.post(receiver.url("/hook?x=1"), body='{"result":"ü …"}')

    async with dispatching(mailroom.outbox):
        await mailroom.until(identifier, status="delivered", attempts="1", last_reason="http_200")

    [request] = receiver.requests
    headers = request.headers
    assert (request.method, request.path) == ("POST", "/hook?x=1")
    assert request.body == '{"result":"ü …"}'.encode()
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "CodeForge-Webhooks/1.2.3"
    assert headers["webhook-id"] == identifier
    assert headers["x-codeforge-event"] == "task.completed"
    assert headers["x-codeforge-delivery"].startswith("dlv_")
    assert headers["x-trace-id"] == "trace-1"
    assert headers["x-signature-256"] == Signer(SECRET).body_signature(request.body)
    assert Webhook(SECRET).verify(request.body, dict(headers)) == {"result": "ü …"}
    assert await mailroom.counted("success") == 1


async def test_a_deployments_old_secret_signs_beside_the_new_one(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    A receiver that knows only one of the two verifies a callback, whichever it knows; what has room
    for one signature has the new one's.
    """
    old, new = SECRET, "whsec_" + "bmV3" * 8
    identifier = await mailroom.post(receiver.url(), body='{"result":"x"}')

    async with dispatching(mailroom.outbox, secrets=(new, old)):
        await mailroom.until(identifier, status="delivered")

    [request] = receiver.requests
    for known in (old, new):
        assert Webhook(known).verify(request.body, dict(request.headers)) == {"result": "x"}
    assert request.headers["x-signature-256"] == Signer(new).body_signature(request.body)


async def test_a_failed_delivery_comes_again_with_the_same_id(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    `webhook-id` is the receiver's key against duplicates; each attempt has an id of its own, too.
    """
    receiver.answer(Reply(status=500), Reply(reset=True), Reply(status=200))
    identifier = await mailroom.post(receiver.url())

    async with dispatching(mailroom.outbox):
        await mailroom.until(identifier, status="delivered", attempts="3")

    assert [request.headers["webhook-id"] for request in receiver.requests] == [identifier] * 3
    assert len({request.headers["x-codeforge-delivery"] for request in receiver.requests}) == 3
    assert (await mailroom.counted("success"), await mailroom.counted("failed")) == (1, 0)


async def test_a_delivery_is_given_up_when_the_schedule_ends(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    It is counted as failed once, and its record says why.
    """
    receiver.answer(Reply(status=500))
    identifier = await mailroom.post(receiver.url())

    async with dispatching(mailroom.outbox, schedule=Schedule((0.01, 0.01), jitter=0)):
        await mailroom.until(identifier, status="failed", attempts="3", last_reason="http_500")

    assert len(receiver.requests) == 3
    assert (await mailroom.counted("success"), await mailroom.counted("failed")) == (0, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure(mailroom: Mailroom, receiver: Receiver, status: int) -> None:
    """
    The place it names is never called.
    """
    receiver.answer(
        Reply(status=status, headers={"Location": receiver.url("/elsewhere")}), Reply(status=200)
    )
    identifier = await mailroom.post(receiver.url("/hook"))

    async with dispatching(mailroom.outbox):
        await mailroom.until(identifier, status="delivered", attempts="2")

    assert [request.path for request in receiver.requests] == ["/hook", "/hook"]


async def test_gone_ends_the_delivery(mailroom: Mailroom, receiver: Receiver) -> None:
    """
    410 says that the receiver wants no more; there is no second attempt.
    """
    receiver.answer(Reply(status=410))
    identifier = await mailroom.post(receiver.url())

    async with dispatching(mailroom.outbox):
        await mailroom.until(identifier, status="failed", attempts="1", last_reason="http_410")

    assert await mailroom.counted("failed") == 1


@pytest.mark.parametrize(
    ("reply", "least", "most"),
    [
        (Reply(status=503, headers={"Retry-After": "450"}), 400, 450),
        (Reply(status=503, headers={"Retry-After": "100000"}), 550, 600),
        (Reply(status=503, headers={"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}), 550, 600),
        (Reply(status=503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), 250, 300),
        (Reply(status=429, headers={"Retry-After": "soon"}), 200, 360),
    ],
)
async def test_retry_after_is_read_in_both_forms(
    mailroom: Mailroom, receiver: Receiver, reply: Reply, least: float, most: float
) -> None:
    """
    Seconds or a date; what is neither is ignored.
    """
    receiver.answer(reply)
    identifier = await mailroom.post(receiver.url())

    async with dispatching(mailroom.outbox, schedule=Schedule((300,))):
        await mailroom.until(identifier, attempts="1")

    due = await mailroom.due_in_seconds(identifier)
    assert due is not None
    assert least <= due <= most


@pytest.mark.parametrize("reply", [HANGS, Reply(trickle_seconds=0.2)])
async def test_a_slow_receiver_is_a_timeout(
    mailroom: Mailroom, receiver: Receiver, reply: Reply
) -> None:
    """
    Silence and single bytes alike; by default the next attempt waits a minute at least.
    """
    receiver.answer(reply)
    identifier = await mailroom.post(receiver.url())

    async with dispatching(mailroom.outbox, schedule=Schedule(), attempt_seconds=0.5):
        await mailroom.until(identifier, attempts="1", last_reason="timeout")

    due = await mailroom.due_in_seconds(identifier)
    assert due is not None
    assert 30 < due <= 60


async def test_an_endless_answer_is_a_delivery(mailroom: Mailroom, receiver: Receiver) -> None:
    """
    The status counts; the body is read up to its limit and the connection dropped.
    """
    receiver.answer(Reply(endless=True))
    identifier = await mailroom.post(receiver.url())

    async with dispatching(mailroom.outbox):
        await mailroom.until(identifier, status="delivered", attempts="1")


async def test_an_endpoint_that_was_down_gets_its_delivery(mailroom: Mailroom) -> None:
    """
    Nothing listens at first; the event arrives once it does, with its id.
    """
    receiver = Receiver()
    async with receiver.listening():
        url = receiver.url()
    identifier = await mailroom.post(url)
    often = Schedule((0.2,) * 1_000, jitter=0)

    async with dispatching(mailroom.outbox, schedule=often):
        await mailroom.until(identifier, last_reason="unreachable")
        async with receiver.listening():
            await mailroom.until(identifier, status="delivered")

    assert [request.headers["webhook-id"] for request in receiver.requests] == [identifier]


async def test_an_internal_receiver_is_refused_and_named_as_such(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    Without `egress.allow` no connection is made; the log says which setting decides.
    """
    identifier = await mailroom.post(receiver.url())

    with capture_logs() as logs:
        async with dispatching(mailroom.outbox, schedule=Schedule((600,)), allow=()):
            await mailroom.until(identifier, attempts="1", last_reason="policy_denied")

    assert receiver.connections == 0
    assert any("egress.allow" in str(entry.get("detail")) for entry in logs)


async def test_a_url_that_cannot_be_called_ends_the_delivery(mailroom: Mailroom) -> None:
    """
    Trying again would change nothing.
    """
    identifier = await mailroom.post("ftp://example.com/")

    async with dispatching(mailroom.outbox):
        await mailroom.until(identifier, status="failed", attempts="1", last_reason="invalid_url")


async def test_fault_b21_a_callback_outlives_the_process_that_was_sending_it(
    mailroom: Mailroom, receiver: Receiver, redis_server: RedisServer
) -> None:
    """
    `kill -9` between sending and recording: the delivery is sent again, with the same id.
    """
    receiver.answer(HANGS, Reply(status=200))
    identifier = await mailroom.post(receiver.url())
    await mailroom.die_sending(redis_server.url, receiver)

    async with dispatching(mailroom.outbox):
        await mailroom.until(identifier, status="delivered", attempts="1")

    assert [request.headers["webhook-id"] for request in receiver.requests] == [identifier] * 2
    assert await mailroom.counted("success") == 1


async def test_several_dispatchers_send_each_delivery_once(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    Every process runs one; the outbox shares the work out.
    """
    posted = [await mailroom.post(receiver.url(), name=f"t{number}_1") for number in range(400)]

    async with dispatching(mailroom.outbox), dispatching(mailroom.outbox):
        for identifier in posted:
            await mailroom.until(identifier, status="delivered")

    arrived = [request.headers["webhook-id"] for request in receiver.requests]
    assert sorted(arrived) == sorted(posted)
    assert await mailroom.counted("success") == len(posted)


async def test_a_dead_endpoint_does_not_hold_up_the_others(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    It gets four attempts at once, and a delivery for another endpoint overtakes the rest.
    """
    dead = Receiver()
    dead.answer(HANGS)
    async with dead.listening():
        for number in range(20):
            await mailroom.post(dead.url(), name=f"a{number}_1")
        other = await mailroom.post(receiver.url(), name="z_1")

        async with dispatching(mailroom.outbox):
            await dead.wait_for(4)
            await mailroom.until(other, status="delivered")

    assert len(dead.requests) == 4


async def test_a_stop_leaves_what_hangs_to_another(mailroom: Mailroom, receiver: Receiver) -> None:
    """
    The stop is bounded; the delivery is neither lost nor counted.
    """
    receiver.answer(HANGS, Reply(status=200))
    identifier = await mailroom.post(receiver.url())
    impatient = Limits(poll_seconds=0.05, drain_seconds=0.1, lease_seconds=2)

    async with dispatching(mailroom.outbox, limits=impatient):
        await receiver.wait_for(1)

    assert "status" not in await mailroom.record(identifier)
    async with dispatching(mailroom.outbox):
        await mailroom.until(identifier, status="delivered", attempts="1")


async def test_a_stop_lets_an_attempt_on_its_way_finish(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    Within the time to drain its result is still recorded.
    """
    receiver.answer(Reply(status=200, delay_seconds=0.3))
    identifier = await mailroom.post(receiver.url())

    async with dispatching(mailroom.outbox, limits=Limits(drain_seconds=30)):
        await receiver.wait_for(1)

    assert (await mailroom.record(identifier))["status"] == "delivered"


async def test_an_outage_of_redis_is_waited_out_and_logged_once(
    mailroom: Mailroom, receiver: Receiver, redis_server: RedisServer, tmp_path: Path
) -> None:
    """
    An attempt whose result could not be recorded meanwhile is recorded afterwards, not repeated.
    """
    door = Door(Path(redis_server.url.removeprefix("unix://")))
    door.open()
    receiver.answer(Reply(status=200, delay_seconds=0.5))
    identifier = await mailroom.post(receiver.url())
    with capture_logs() as logs:
        async with (
            connect(door.url, role="command") as commands,
            connect(door.url, role="blocking") as blocking,
            dispatching(Outbox(commands, blocking, mailroom.keys)),
        ):
            await receiver.wait_for(1)
            door.close()
            await mailroom.redis.client_kill_filter(_type="normal", skipme=True)
            await eventually(lambda: _logged(logs, "webhook.redis_away"))
            door.open()
            await mailroom.until(identifier, status="delivered", attempts="1")
            await eventually(lambda: _logged(logs, "webhook.redis_back"))
    door.close()

    assert len(receiver.requests) == 1
    assert [entry["event"] for entry in logs].count("webhook.redis_away") == 1


async def test_logs_hold_neither_body_nor_path_nor_secret(
    mailroom: Mailroom, receiver: Receiver
) -> None:
    """
    Of the url only scheme, host and port are logged: a webhook's path often is a password.
    """
    receiver.answer(Reply(status=500, body=b"answer-canary"), Reply(status=410))
    identifier = await mailroom.post(receiver.url("/path-canary"), body='{"x":"body-canary"}')
    broken = await mailroom.post("http://user:canary@example.com/", name="t2_1")

    with capture_logs() as logs:
        async with dispatching(mailroom.outbox):
            await mailroom.until(identifier, status="failed")
            await mailroom.until(broken, status="failed")

    said = repr(logs)
    assert receiver.url("") in said
    assert "canary" not in said
    assert SECRET not in said


async def test_a_cancelled_dispatcher_ends(mailroom: Mailroom) -> None:
    """
    Cancelling at any moment ends it, also while it connects to Redis.
    """
    await asyncio.gather(*(_cancel_after(mailroom, ticks) for ticks in (1, 3, 5, 8)))


async def _cancel_after(mailroom: Mailroom, ticks: int) -> None:
    async with HttpClient(Guard(), user_agent="CodeForge/test") as client:
        dispatcher = Dispatcher(
            mailroom.outbox,
            Sender(client, SigningSecrets(BOX, SECRET), SystemClock(), version="1.2.3"),
            AT_ONCE,
            random=Random(1),  # noqa: S311 - jitter
            clock=SystemClock(),
        )
        running = asyncio.create_task(dispatcher.run(asyncio.Event()))
        for _ in range(ticks):
            await asyncio.sleep(0)

        running.cancel()
        _, pending = await asyncio.wait({running}, timeout=30)

    assert not pending


async def _logged(logs: Sequence[Mapping[str, object]], event: str) -> bool:
    return any(entry["event"] == event for entry in logs)
