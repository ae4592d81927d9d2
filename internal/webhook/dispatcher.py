"""
The loop that delivers: claim what is due, send it, record how it went.

Every `serve` and `worker` process runs one; the outbox makes that safe. It survives Redis: while
that is away it waits, and the result of an attempt is kept until it can be recorded, for as long as
a lease lasts. If the process dies between sending and recording, the delivery is sent again with
the same id, by which the receiver knows it.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from random import Random

import structlog
from redis.exceptions import RedisError

from internal.backoff import full_jitter
from internal.clock import Clock
from internal.fault import fault_point
from internal.webhook.model import Attempt, Delivery, Verdict
from internal.webhook.outbox import Outbox, Places, Settled
from internal.webhook.schedule import Schedule
from internal.webhook.sender import Sender
from internal.webhook.traffic import Traffic

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


_ADVICE = "mend the receiver, then PATCH the endpoint with enabled: true and redeliver what failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one dispatcher does at once, and its times in seconds."""

    attempts: int = 64
    attempts_per_tenant: int = 48
    """No tenant's slow receivers fill the pool."""
    attempts_per_destination: int = 4
    lease_seconds: float = 30
    """Twice the limit of an attempt: the other half is for recording it."""
    poll_seconds: float = 1
    """How long what became due can wait until somebody looks; new deliveries ring a bell."""
    drain_seconds: float = 5
    """How long a stop waits for attempts on their way; the others are sent again elsewhere."""


class Dispatcher:
    """Delivers what lies in the outbox, until told to stop."""

    def __init__(
        self,
        outbox: Outbox,
        sender: Sender,
        schedule: Schedule,
        *,
        random: Random,
        clock: Clock,
        limits: Limits | None = None,
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._schedule = schedule
        self._random = random
        self._clock = clock
        self._limits = limits or Limits()
        self._traffic = Traffic(
            places=self._limits.attempts_per_destination,
            tenant_places=self._limits.attempts_per_tenant,
        )
        self._sending: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._failed_claims = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until *stop* is set, then for `drain_seconds` finish what is on its way."""
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(self._wake_at(stop)),
                group.create_task(self._listen()),
            ]
            while not stop.is_set() and not _cancelled():
                self._wake.clear()
                more = await self._claim(group)
                if not more or self._free == 0:
                    await self._rest()
            if self._sending:
                await asyncio.wait(self._sending, timeout=self._limits.drain_seconds)
            for task in (*helpers, *self._sending):
                task.cancel()

    @property
    def _free(self) -> int:
        return self._limits.attempts - len(self._sending)

    async def _claim(self, group: asyncio.TaskGroup) -> bool:
        """Start as many attempts as there is room for; True when more may be due right now."""
        if self._free == 0:
            return True
        limits = self._limits
        try:
            deliveries, more = await self._outbox.claim(
                limit=self._free,
                lease_seconds=limits.lease_seconds,
                places=Places(
                    destination=limits.attempts_per_destination, tenant=limits.attempts_per_tenant
                ),
                rooms=self._traffic.rooms(self._clock.monotonic()),
            )
        except RedisError as error:
            if self._failed_claims == 0:
                log.warning("webhook.redis_away", error=str(error))
            self._failed_claims += 1
            return False
        if self._failed_claims:
            log.info("webhook.redis_back", failed_claims=self._failed_claims)
            self._failed_claims = 0
        if deliveries:
            fault_point("delivery_claimed")
        for delivery in deliveries:
            self._traffic.started(delivery.destination)
            task = group.create_task(self._deliver(delivery))
            self._sending.add(task)
            task.add_done_callback(self._ended)
        return more

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._wake.set()

    async def _rest(self) -> None:
        """Wait for the bell, the end of an attempt, the stop, or the time to look again."""
        seconds = self._limits.poll_seconds
        if self._failed_claims:
            seconds = self._backoff(self._failed_claims)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _listen(self) -> None:
        while not _cancelled():
            try:
                await self._outbox.await_bell()
            except RedisError:
                # `_claim` says so; without the bell, polling goes on.
                await asyncio.sleep(self._limits.poll_seconds)
            else:
                self._wake.set()

    async def _deliver(self, delivery: Delivery) -> None:
        """One attempt, from sending to its record."""
        attempt = await self._attempt(delivery)
        fault_point("delivery_sent")
        delivered = attempt.verdict is Verdict.DELIVERED
        now = self._clock.monotonic()
        self._traffic.ended(delivery.destination, now, delivered=delivered, seconds=attempt.seconds)
        retry_in_seconds = None
        if attempt.verdict is Verdict.FAILED:
            retry_in_seconds = self._schedule.next_wait(delivery.tries + 1, attempt, self._random)
        settled = await self._record(delivery, attempt, retry_in_seconds)
        _report(delivery, attempt, retry_in_seconds, settled)

    async def _attempt(self, delivery: Delivery) -> Attempt:
        try:
            return await self._sender.send(delivery)
        except Exception:  # a defect costs this attempt, not all deliveries
            log.exception("webhook.attempt_broke", delivery=delivery.id)
            return Attempt(verdict=Verdict.FAILED, reason="internal_error")

    async def _record(
        self, delivery: Delivery, attempt: Attempt, retry_in_seconds: float | None
    ) -> Settled:
        """Settle the claim, as often as Redis needs, while the lease may last."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._limits.lease_seconds
        failures = 0
        while True:
            try:
                return await self._outbox.settle(
                    delivery, attempt, retry_in_seconds=retry_in_seconds
                )
            except RedisError:
                failures += 1
                pause = self._backoff(failures)
                if loop.time() + pause > give_up_at:
                    return Settled(recorded=False)
                await asyncio.sleep(pause)

    def _backoff(self, failures: int) -> float:
        return full_jitter(
            failures, base_seconds=0.25, factor=2, cap_seconds=5, random=self._random
        )


def _cancelled() -> bool:
    # Python 3.11's wait_for, which redis-py sends with, can swallow a cancellation.
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _report(
    delivery: Delivery, attempt: Attempt, retry_in_seconds: float | None, settled: Settled
) -> None:
    facts = log.bind(
        delivery=delivery.id,
        tenant=delivery.tenant,
        task_id=delivery.task_id,
        webhook=delivery.event,
        endpoint=delivery.endpoint,
        origin=delivery.origin,
        attempt=delivery.tries + 1,
        reason=attempt.reason,
    )
    if not settled.recorded:
        facts.warning("webhook.not_recorded")
    elif attempt.verdict is Verdict.DELIVERED:
        facts.info("webhook.delivered")
    elif retry_in_seconds is None:
        facts.error("webhook.given_up", detail=attempt.detail)
    else:
        facts.warning(
            "webhook.failed", detail=attempt.detail, retry_in_seconds=round(retry_in_seconds, 1)
        )
    if settled.switched_off is not None:
        facts.error("webhook.endpoint_off", why=settled.switched_off, advice=_ADVICE)
