"""The rate limit's window: what counts is the minute before each call."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from internal.control.rate import WINDOW_SECONDS, RateLimiter
from internal.rdb.keys import Keys
from internal.rdb.scripts import Script, load_lua
from tests.support.gatehouse import make_older

KEYS = Keys("test:")
WINDOW_MS = WINDOW_SECONDS * 1000
KEY = KEYS.rate("acme", "ci", "tasks")


async def test_ten_calls_pass_and_the_eleventh_waits(redis_client: Redis) -> None:
    """
    Version A's arithmetic; what is left is told with each.
    """
    limiter = RateLimiter(redis_client, KEYS, limit=10)

    told = [await limiter.take("acme", "ci", "tasks") for _ in range(11)]

    assert [one.granted for one in told] == [True] * 10 + [False]
    assert [one.remaining for one in told] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]
    assert [one.wait_ms > 0 for one in told] == [False] * 9 + [True, True]
    assert 0 < told[-1].wait_ms == told[-1].reset_ms <= WINDOW_MS


async def test_calls_at_the_same_moment_are_all_counted(redis_client: Redis) -> None:
    """
    A hundred in one millisecond are a hundred; exactly as many pass as may.
    """
    limiter = RateLimiter(redis_client, KEYS, limit=10)

    told = await asyncio.gather(*(limiter.take("acme", "ci", "tasks") for _ in range(100)))

    assert sum(one.granted for one in told) == 10


async def test_a_refused_call_counts_for_nothing(redis_client: Redis) -> None:
    """
    Who asks again and again is let in when the oldest call leaves, not later.
    """
    limiter = RateLimiter(redis_client, KEYS, limit=2)
    await limiter.take("acme", "ci", "tasks")
    await make_older(redis_client, KEY, 59)
    await limiter.take("acme", "ci", "tasks")

    waits = [(await limiter.take("acme", "ci", "tasks")).wait_ms for _ in range(50)]
    assert all(0 < wait <= 1000 for wait in waits)
    await make_older(redis_client, KEY, max(waits) / 1000)

    assert (await limiter.take("acme", "ci", "tasks")).granted
    assert not (await limiter.take("acme", "ci", "tasks")).granted


async def test_the_window_slides(redis_client: Redis) -> None:
    """
    No burst of twice the limit fits around a full minute.
    """
    limiter = RateLimiter(redis_client, KEYS, limit=4)
    for _ in range(4):
        await limiter.take("acme", "ci", "tasks")
        await make_older(redis_client, KEY, 14)

    told = [await limiter.take("acme", "ci", "tasks") for _ in range(2)]
    assert [one.granted for one in told] == [False, False]
    await make_older(redis_client, KEY, 5)  # the first is 61 s old, the second 47 s
    told = [await limiter.take("acme", "ci", "tasks") for _ in range(2)]

    assert [one.granted for one in told] == [True, False]
    assert 10_000 < told[1].wait_ms <= 13_000


async def test_a_lowered_limit_waits_for_as_many_as_are_too_much(redis_client: Redis) -> None:
    """
    Not for the oldest call alone.
    """
    for _ in range(5):
        await RateLimiter(redis_client, KEYS, limit=10).take("acme", "ci", "tasks")
        await make_older(redis_client, KEY, 10)

    told = await RateLimiter(redis_client, KEYS, limit=2).take("acme", "ci", "tasks")

    # Aged 50, 40, 30, 20 and 10 s; a call is possible when but one is left: after the one of 20 s.
    assert (told.granted, told.remaining) == (False, 0)
    assert 39_000 < told.wait_ms <= 40_000
    assert 9_000 < told.reset_ms <= 10_000


async def test_each_token_and_each_kind_of_call_has_a_window(redis_client: Redis) -> None:
    """
    A tenant's tokens do not use up each other's calls, nor another tenant's.
    """
    limiter = RateLimiter(redis_client, KEYS, limit=1)
    callers = [("acme", "ci", "tasks"), ("acme", "ci", "instruct"), ("acme", "bot", "tasks")]

    told = [await limiter.take(*caller) for caller in [*callers, ("other", "ci", "tasks")]]

    assert all(one.granted for one in told)


async def test_a_call_that_was_sent_twice_counts_once(redis_client: Redis) -> None:
    """
    The client library repeats a call whose answer was lost; it must get the same answer.
    """
    script = Script(load_lua("internal.control", "lua/rate"))

    told = [await script(redis_client, [KEY], ["one", 1, WINDOW_MS]) for _ in range(2)]
    other = await script(redis_client, [KEY], ["two", 1, WINDOW_MS])

    assert [one[0] for one in told] == [1, 1]
    assert other[0] == 0
    assert 0 < await redis_client.pttl(KEY) <= WINDOW_MS
