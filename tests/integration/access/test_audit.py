"""The audit log: one entry per act, newest first, bounded by number and age."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from datetime import timedelta

from redis.asyncio import Redis
from structlog.testing import capture_logs

from internal.access.audit import KEPT_DAYS, KEPT_ENTRIES
from internal.access.model import Caller
from internal.rdb.client import connect
from internal.rdb.scripts import Script, load_lua
from tests.support.gatehouse import KEYS, Gatehouse

CALLER = Caller("acme", "ci", frozenset({"read", "tasks"}), "request-1", "203.0.113.9")
_DAY_MS = 86_400_000


async def test_an_entry_says_who_did_what_to_which_object(gatehouse: Gatehouse) -> None:
    """
    With the request, by which the process' log has the rest.
    """
    await gatehouse.audit.record(CALLER, "key.create", "bot", provider="github")

    (entry,) = await gatehouse.audit.list("acme", limit=10)
    assert (entry.token, entry.address, entry.request_id) == ("ci", "203.0.113.9", "request-1")
    assert (entry.action, entry.object, entry.details) == (
        "key.create",
        "bot",
        {"provider": "github"},
    )
    assert abs(entry.at - gatehouse.clock.now()) < timedelta(minutes=1)
    assert await gatehouse.audit.list("other", limit=10) == []


async def test_pages_go_back_in_time_without_a_gap(gatehouse: Gatehouse) -> None:
    """
    Also when new entries come in between.
    """
    for number in range(7):
        await gatehouse.audit.record(CALLER, "task.submit", str(number))

    first = await gatehouse.audit.list("acme", limit=3)
    await gatehouse.audit.record(CALLER, "task.submit", "new")
    second = await gatehouse.audit.list("acme", limit=9, before=first[-1].id)

    assert [entry.object for entry in first] == ["6", "5", "4"]
    assert [entry.object for entry in second] == ["3", "2", "1", "0"]
    later = gatehouse.clock.now() + timedelta(hours=1)
    assert await gatehouse.audit.list("acme", limit=9, since=later) == []
    for oldest in ("0-0", "00-0", "0-1"):
        assert await gatehouse.audit.list("acme", limit=9, before=oldest) == []


async def test_an_entry_that_was_sent_twice_is_there_once(
    gatehouse: Gatehouse, redis_client: Redis
) -> None:
    """
    The client library repeats a call whose answer was lost.
    """
    script = Script(load_lua("internal.access", "lua/record"))
    where = [KEYS.audit("acme"), KEYS.audit_mark("acme", "mark")]

    answers = [await script(redis_client, where, ["{}", 100, 90]) for _ in range(2)]

    assert answers == [1, 0]
    assert await redis_client.xlen(KEYS.audit("acme")) == 1
    assert 0 < await redis_client.ttl(KEYS.audit("acme")) <= KEPT_DAYS * 86_400


async def test_the_log_is_bounded_by_number(gatehouse: Gatehouse, redis_client: Redis) -> None:
    """
    Redis cuts whole blocks, so it keeps a block (100) more at most.
    """
    async with redis_client.pipeline(transaction=False) as pipe:
        for _ in range(KEPT_ENTRIES + 500):
            pipe.xadd(KEYS.audit("acme"), {"e": "{}"})
        await pipe.execute()

    await gatehouse.audit.record(CALLER, "task.submit", "new")

    assert KEPT_ENTRIES <= await redis_client.xlen(KEYS.audit("acme")) <= KEPT_ENTRIES + 100


async def test_what_is_older_than_ninety_days_is_not_shown(
    gatehouse: Gatehouse, redis_client: Redis
) -> None:
    """
    And goes with the next entry.
    """
    old = int(gatehouse.clock.now().timestamp() * 1000) - (KEPT_DAYS + 1) * _DAY_MS
    entry = {"token": "t", "address": "", "request_id": "", "action": "a", "object": "o"}
    stored = json.dumps({**entry, "details": {}})
    for number in range(300):
        await redis_client.xadd(KEYS.audit("acme"), {"e": stored}, id=f"{old}-{number}")

    await gatehouse.audit.record(CALLER, "task.submit", "new")

    seen = await gatehouse.audit.list("acme", limit=400)
    assert [entry.object for entry in seen] == ["new"]
    assert await redis_client.xlen(KEYS.audit("acme")) <= 101


async def test_an_entry_that_cannot_be_written_is_logged_and_counted() -> None:
    """
    The act it tells of was done, so its request must not fail.
    """
    away = connect("unix:///nowhere/redis.sock", role="command")
    gatehouse = Gatehouse(away)

    with capture_logs() as logs:
        await gatehouse.audit.record(CALLER, "key.delete", "bot")

    await away.aclose()
    assert gatehouse.lost == 1
    assert [line["event"] for line in logs] == ["audit.lost"]
    assert logs[0]["entry"]["object"] == "bot"


async def test_a_long_detail_is_cut(gatehouse: Gatehouse) -> None:
    """
    The log is no place to store things in.
    """
    await gatehouse.audit.record(CALLER, "key.create", "bot", note="x" * 5_000_000)

    (entry,) = await gatehouse.audit.list("acme", limit=1)
    assert entry.details == {"note": "x" * 200}
