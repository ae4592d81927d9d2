"""The heartbeat's answers, as runs and agents get them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from redis.exceptions import ConnectionError as RedisConnectionError

from internal.task.heartbeat import Beat, BeatReply
from internal.task.model import Claim
from internal.worker.lease import Heartbeat, Stop
from tests.support.a_task import a_task
from tests.support.waiting import until

_LEASE_SECONDS = 9.0


class _Redis:
    """Answers each heartbeat with `beat`; raises while `away`."""

    def __init__(self) -> None:
        self.beat = Beat.RENEWED
        self.away = False
        self.alone = False
        self.beats = 0
        self.records: list[str] = []

    def send(self, claims: Sequence[tuple[str, str]], record: str) -> BeatReply:
        self.beats += 1
        self.records.append(record)
        if self.away:
            raise RedisConnectionError("away")
        beats = {token: self.beat for _, token in claims}
        return BeatReply(now=datetime.now(UTC), claims=beats, alone_waiting=self.alone)


@asynccontextmanager
async def _beating(
    redis: _Redis, *, grace_seconds: float = 60, on_alone: Callable[[], None] = lambda: None
) -> AsyncGenerator[Heartbeat]:
    heartbeat = Heartbeat(
        redis.send,
        lease_seconds=_LEASE_SECONDS,
        outage_grace_seconds=grace_seconds,
        info=lambda busy: {"busy": busy},
        on_alone=on_alone,
    )
    ticking = asyncio.create_task(heartbeat.tick())
    heartbeat.start()
    try:
        yield heartbeat
    finally:
        await asyncio.to_thread(heartbeat.end)
        ticking.cancel()


async def test_each_answer_moves_the_lease_of_the_agent() -> None:
    """Counted from when it was asked, so our end is never behind that of Redis."""
    ends: list[float] = []
    redis = _Redis()
    async with _beating(redis) as heartbeat:
        hold = heartbeat.hold(_claim(), claimed_at=time.monotonic())
        hold.attach(ends.append)
        first = ends[0]
        asked_from = time.monotonic()

        heartbeat.beat_now()
        await until("the lease has moved", lambda: len(ends) > 1)

        assert first < ends[-1] <= time.monotonic() + _LEASE_SECONDS
        assert ends[-1] >= asked_from + _LEASE_SECONDS
        assert '{"busy":1}' in redis.records


async def test_a_process_that_starts_late_gets_the_newest_lease() -> None:
    """What was renewed before it was attached counts for it."""
    ends: list[float] = []
    redis = _Redis()
    async with _beating(redis) as heartbeat:
        hold = heartbeat.hold(_claim(), claimed_at=time.monotonic() - 100)
        heartbeat.beat_now()
        await until("the lease has moved", lambda: hold.lease_end > time.monotonic())

        hold.attach(ends.append)

        assert ends == [hold.lease_end]


async def test_a_fenced_claim_stops_its_run_and_is_asked_for_no_more() -> None:
    """Somebody else has the task."""
    redis = _Redis()
    redis.beat = Beat.FENCED
    async with _beating(redis) as heartbeat:
        hold = heartbeat.hold(_claim(), claimed_at=time.monotonic())

        heartbeat.beat_now()

        assert await asyncio.wait_for(hold.stopped, 30) is Stop.FENCED
        assert heartbeat.holds() == []


async def test_a_cancel_stops_its_run_and_keeps_the_lease() -> None:
    """The end has still to be reported."""
    redis = _Redis()
    redis.beat = Beat.CANCEL
    async with _beating(redis) as heartbeat:
        hold = heartbeat.hold(_claim(), claimed_at=time.monotonic())

        heartbeat.beat_now()

        assert await asyncio.wait_for(hold.stopped, 30) is Stop.CANCEL
        assert heartbeat.holds() == [hold]


async def test_a_run_that_was_released_is_not_stopped_any_more() -> None:
    """It finished while the heartbeat was under way."""
    answered, may_answer = threading.Event(), threading.Event()

    class _Slow(_Redis):
        def send(self, claims: Sequence[tuple[str, str]], record: str) -> BeatReply:
            if claims:
                answered.set()
                may_answer.wait(30)
            return super().send(claims, record)

    redis = _Slow()
    redis.beat = Beat.FENCED
    async with _beating(redis) as heartbeat:
        hold = heartbeat.hold(_claim(), claimed_at=time.monotonic())
        heartbeat.beat_now()
        await until("a heartbeat is under way", answered.is_set)
        beats = redis.beats

        heartbeat.release(hold)
        may_answer.set()
        await until("it was answered", lambda: redis.beats > beats)

        await asyncio.sleep(0)
        assert not hold.stopped.done()


async def test_an_outage_stops_runs_after_the_grace() -> None:
    """Until then the agents stand still, nothing is given up, and Redis is asked each second."""
    redis = _Redis()
    async with _beating(redis, grace_seconds=1) as heartbeat:
        await until("it was answered once", lambda: redis.beats > 0)
        hold = heartbeat.hold(_claim(), claimed_at=time.monotonic())
        redis.away = True
        beats = redis.beats

        heartbeat.beat_now()
        stopped = await asyncio.wait_for(hold.stopped, 30)

        assert stopped is Stop.OUTAGE
        assert redis.beats >= beats + 2


async def test_a_task_that_waits_to_run_alone_is_told() -> None:
    """Whoever hears it starts a process for it."""
    redis, told = _Redis(), threading.Event()
    redis.alone = True
    async with _beating(redis, on_alone=told.set) as heartbeat:
        heartbeat.beat_now()

        await until("it is told", told.is_set)


async def test_the_first_reason_to_stop_counts() -> None:
    """A run ends once."""
    async with _beating(_Redis()) as heartbeat:
        hold = heartbeat.hold(_claim(), claimed_at=time.monotonic())

        hold.stop(Stop.CANCEL)
        hold.stop(Stop.SHUTDOWN)
        await asyncio.sleep(0)

        assert hold.stopped.result() is Stop.CANCEL


def _claim() -> Claim:
    return Claim(task=a_task(), token="t", claim="c", worker="w", home="h", attempt=1)  # noqa: S106
