"""Gates other than caps: so many a minute, so much a day, and shut until a time."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from internal.clock import from_millis
from internal.control.gate import Gate
from internal.errors import Fenced
from internal.task.codec import decode_task
from internal.task.fenced import CancelAccepted
from internal.task.judgement import Judgement
from internal.task.model import Claim, Wait
from tests.support.queue_lab import START_MILLIS, Lab

pytestmark = pytest.mark.live_keys

AGENT = "breaker:agent:demo"


async def wait_of(lab: Lab, ref: str) -> Wait | None:
    return decode_task(await lab.document(ref)).wait


async def spend(lab: Lab, gate: str, **fields: float) -> None:
    day = from_millis(await lab.now()).date().isoformat()
    await lab.redis.hset(lab.keys.spent(gate, day), mapping={k: str(v) for k, v in fields.items()})
    await lab.redis.expire(lab.keys.spent(gate, day), 172_800)


def ref_of(claim: Claim) -> str:
    return f"{claim.task.tenant}/{claim.task.id}"


# -- so many a minute


@pytest.mark.parametrize(
    "field", ["rate:tenant:a", "rate:tenant:*", "rate:repo:*:r", "rate:agent:*"]
)
async def test_a_rate_lets_so_many_start_in_any_minute(lab: Lab, field: str) -> None:
    """What is behind them waits, knows until when, and the wait ends by itself."""
    await lab.store.set_limits({field: 2})
    refs = [await lab.create("a") for _ in range(4)]
    await lab.run_next()
    await lab.sleep(20)
    await lab.run_next()

    assert await lab.claim() is None
    told = await wait_of(lab, refs[2])
    assert told is not None
    assert (told.reason, told.until) == ("cap", from_millis(await lab.now() + 40_000))
    assert told.gate is not None
    assert told.gate.startswith("rate:")

    await lab.sleep(39)
    await lab.reap()
    assert await lab.claim() is None
    await lab.sleep(1)
    await lab.reap()
    await lab.run_next()
    assert await lab.claim() is None
    await lab.sleep(20)
    await lab.reap()
    await lab.run_next()


async def test_starts_are_counted_only_where_all_gates_are_open(lab: Lab) -> None:
    """A task that waits somewhere else has not used its start."""
    await lab.store.set_limits({"rate:tenant:a": 1, "repo:*": 1})
    running = await lab.take_new("b", repo="r")
    await lab.shut("breaker:agent:demo", seconds=60)
    await lab.create("a")
    assert await lab.claim() is None
    assert not (await lab.world()).get("gate:rate:tenant:a:starts")

    await lab.run(running)
    await lab.sleep(60)
    await lab.reap()

    await lab.take()


async def test_who_is_not_admitted_has_not_started(lab: Lab) -> None:
    """Many tasks whose key is used up take nobody's starts, one after the other."""
    lab.twice = True
    await lab.store.set_limits({"rate:agent:demo": 1})
    await lab.shut("quota:a:k", seconds=600)
    refused = await lab.take_new("a")

    assert await lab.queue.admit(refused, [[Gate(key="quota:a:k")]], "first") is None

    assert not (await lab.world()).get("gate:rate:agent:demo:starts")
    await lab.take_new("b")


async def test_a_clock_that_goes_back_does_not_shut_a_rate(lab: Lab) -> None:
    """Starts that lie in the future, after a failover to another clock, are not counted."""
    await lab.store.set_limits({"rate:tenant:a": 1})
    await lab.create("a")
    await lab.run_next()
    await lab.create("a")
    assert await lab.claim() is None

    await lab.sleep(-3600)
    await lab.reap()

    await lab.take()


# -- so much a day


@pytest.mark.parametrize("unit", ["usd", "tokens"])
async def test_a_days_budget_shuts_until_midnight(lab: Lab, unit: str) -> None:
    """UTC, and the next day begins with nothing spent."""
    await lab.store.set_limits({f"budget:repo:*:{unit}": 5})
    await lab.create("a", repo="s")
    waiting = await lab.create("a", repo="r")
    await spend(lab, "budget:repo:a:r", **{unit: 5})

    assert (await lab.take()).task.repo_url.endswith("/s")
    assert await lab.claim() is None
    midnight = datetime(2026, 11, 20, tzinfo=UTC)
    assert await wait_of(lab, waiting) == Wait(
        reason="budget", until=midnight, gate="budget:repo:a:r"
    )

    await lab.sleep(midnight.timestamp() - START_MILLIS / 1000)
    await lab.reap()
    assert ref_of(await lab.take()) == waiting


async def test_a_raised_budget_lets_what_waits_go_on(lab: Lab) -> None:
    """By the next chores, and what is below its budget never waits."""
    await lab.store.set_limits({"budget:tenant:a:usd": 5.5, "budget:tenant:a:tokens": 100})
    await spend(lab, "budget:tenant:a", usd=5.49, tokens=99)
    await lab.create("a")
    assert await lab.claim()
    await spend(lab, "budget:tenant:a", usd=5.6)
    await lab.create("a")
    assert await lab.claim() is None

    await lab.store.set_limits({"budget:tenant:a:usd": 6})
    await lab.reap()

    assert await lab.claim()


# -- shut until a time


async def test_a_shut_gate_opens_for_one_first(lab: Lab) -> None:
    """Behind its time one task goes ahead; the others wait for what it finds out."""
    await lab.shut(AGENT, seconds=30)
    refs = [await lab.create("a") for _ in range(3)]
    assert await lab.claim() is None
    until = from_millis(await lab.now() + 30_000)
    assert await wait_of(lab, refs[0]) == Wait(reason="breaker", until=until, gate=AGENT)

    await lab.sleep(30)
    await lab.reap()
    ahead = await lab.take()
    assert await lab.claim() is None
    await lab.reap()
    assert await lab.claim() is None

    await lab.redis.delete(lab.keys.gate_until(AGENT))  # what `open_gate` does
    await lab.reap()
    assert {ref_of(ahead), ref_of(await lab.take()), ref_of(await lab.take())} == set(refs)


@pytest.mark.parametrize("end", ["finish", "hand back", "cancel", "lose"])
async def test_weakness_7_one_that_goes_ahead_and_ends_anyhow_keeps_nobody_waiting(
    lab: Lab, end: str
) -> None:
    """It said nothing about the gate, so the next one goes ahead; nothing leaks."""
    await lab.shut(AGENT, seconds=0)
    ahead = await lab.take_new("a")
    waiting = await lab.create("a")
    assert await lab.claim() is None
    if end == "finish":
        await lab.run(ahead)
    elif end == "hand back":
        await lab.queue.hand_back(ahead, "op", reason="disk_full", delay_seconds=60)
    elif end == "cancel":
        await lab.store.cancel(ref_of(ahead))
        await lab.lose()
    else:
        await lab.lose()
        await lab.store.cancel(ref_of(ahead))

    assert ref_of(await lab.take("w2")) == waiting
    await lab.create("a")
    assert await lab.claim("w2") is None


async def test_weakness_7_one_that_goes_ahead_and_says_nothing_keeps_the_others_ten_minutes(
    lab: Lab,
) -> None:
    """Else one tenant's run against a silent host shuts a shared gate for as long as it lasts."""
    await lab.shut(AGENT, seconds=0)
    ahead = await lab.take_new("a")
    waiting, last = await lab.create("b"), await lab.create("b")
    assert await lab.claim() is None
    for _ in range(199):
        await lab.sleep(3)
        await lab.beat("w1", "h1", [ahead])
    await lab.reap()
    assert await lab.claim() is None

    await lab.sleep(3)
    await lab.beat("w1", "h1", [ahead])
    await lab.reap()

    assert ref_of(await lab.take()) == waiting
    assert await lab.claim() is None
    await lab.run(ahead)
    await lab.reap()
    assert await lab.claim() is None
    await lab.store.cancel(last)


async def test_weakness_7_who_is_refused_elsewhere_does_not_go_ahead(lab: Lab) -> None:
    """A half-open gate is taken only by a task all of whose other gates are open, too."""
    await lab.store.set_limits({"repo:*": 1})
    await lab.take_new("a", repo="r")
    await lab.shut(AGENT, seconds=0)
    await lab.create("a", repo="r")
    assert await lab.claim() is None
    assert "probe" not in (await lab.world()).get(f"gate:{AGENT}:until")

    await lab.create("a", repo="s")

    assert (await lab.take()).task.repo_url.endswith("/s")


async def test_a_gate_shut_until_it_is_released_opens_at_no_time(lab: Lab) -> None:
    """Not by itself, and not because somebody shuts it for a while."""
    await lab.shut("hold:repo:a:r")
    await lab.shut("hold:repo:a:r", seconds=1)
    waiting = await lab.create("a", repo="r")

    await lab.sleep(1_000_000)
    await lab.reap()

    assert await lab.claim() is None
    assert await wait_of(lab, waiting) == Wait(reason="breaker", until=None, gate="hold:repo:a:r")
    world = await lab.world()
    assert "gate:hold:repo:a:r:until" not in world.with_ttl
    assert "hold:repo:a:r" in world.get("gates:shut")
    await lab.redis.delete(lab.keys.gate_until("hold:repo:a:r"))
    await lab.reap()
    await lab.take()


async def test_a_gate_that_was_shut_is_forgotten(lab: Lab) -> None:
    """A day behind its time nothing says any more that it ever was."""
    await lab.shut(AGENT, seconds=10)
    assert f"gate:{AGENT}:until" in (await lab.world()).with_ttl

    await lab.sleep(86_400 + 11)
    await lab.reap()

    assert not (await lab.world()).get("gates:shut")


# -- gates that only the worker knows


def candidates(*keys: str) -> list[list[Gate]]:
    return [[Gate(key=key), Gate(key="breaker:endpoint:h")] for key in keys]


async def test_the_first_open_candidate_is_admitted(lab: Lab) -> None:
    """And its index returned, also when the call is repeated."""
    lab.twice = True
    claim = await lab.take_new("a")
    await lab.shut("quota:a:k1", seconds=60)

    found = await lab.queue.admit(claim, candidates("quota:a:k1", "quota:a:k2"), "first")

    assert found == 1
    permit = decode_task(await lab.document(ref_of(claim))).permit
    assert permit is not None
    assert permit.gates[-2:] == ("quota:a:k2", "breaker:endpoint:h")
    await lab.run(claim)
    assert "admitted" not in await lab.document(ref_of(claim))


async def test_what_finds_no_candidate_waits_for_the_first_that_opens(lab: Lab) -> None:
    """Uncharged; a candidate is open when the last of its gates is."""
    lab.twice = True
    claim = await lab.take_new("a")
    await lab.shut("quota:a:k1", seconds=60)
    await lab.shut("quota:a:k2", seconds=40)
    await lab.shut("breaker:endpoint:h", seconds=50)

    assert await lab.queue.admit(claim, candidates("quota:a:k1", "quota:a:k2"), "first") is None

    document = await lab.document(ref_of(claim))
    until = from_millis(await lab.now() + 50_000)
    waits = Wait(reason="breaker", until=until, gate="breaker:endpoint:h")
    assert decode_task(document).wait == waits
    assert (document["status"], document["lost"], document["retries"]) == ("pending", "0", "0")
    with pytest.raises(Fenced):
        await lab.advance(claim)
    await lab.sleep(50)
    await lab.reap()
    again = await lab.take()
    assert await lab.queue.admit(again, candidates("quota:a:k1", "quota:a:k2"), "second") == 1


async def test_a_key_that_is_being_tried_opens_before_one_that_is_shut_for_hours(lab: Lab) -> None:
    """The others wait for its first answer, not for the end of another key's wait."""
    lab.twice = True
    await lab.shut("quota:a:k1", seconds=0)
    await lab.shut("quota:a:k2", seconds=4 * 3600)
    first, second = await lab.take_new("a"), await lab.take_new("a")
    assert await lab.queue.admit(first, candidates("quota:a:k1", "quota:a:k2"), "first") == 0

    assert await lab.queue.admit(second, candidates("quota:a:k1", "quota:a:k2"), "second") is None

    told = await wait_of(lab, ref_of(second))
    assert told == Wait(reason="quota", until=None, gate="quota:a:k1")
    await lab.queue.judge(first, Judgement(works=("quota:a:k1",)), "third")
    await lab.reap()
    assert ref_of(await lab.take()) == ref_of(second)


async def test_one_key_is_tried_by_one_task_when_its_quota_may_be_back(lab: Lab) -> None:
    """No stampede: the others wait at the gate until the first one's end."""
    await lab.shut("quota:a:k", seconds=0)
    first, second = await lab.take_new("a"), await lab.take_new("a")

    assert await lab.queue.admit(first, [[Gate(key="quota:a:k")]], "first") == 0
    assert await lab.queue.admit(second, [[Gate(key="quota:a:k")]], "second") is None
    told = await wait_of(lab, ref_of(second))
    assert told == Wait(reason="quota", until=None, gate="quota:a:k")

    await lab.run(first)
    assert ref_of(await lab.take()) == ref_of(second)


async def test_a_cancelled_or_lost_claim_is_not_admitted(lab: Lab) -> None:
    """And takes nothing."""
    claim = await lab.take_new("a")
    await lab.store.cancel(ref_of(claim))
    with pytest.raises(CancelAccepted):
        await lab.queue.admit(claim, candidates("quota:a:k"), "first")
    await lab.lose()

    with pytest.raises(Fenced):
        await lab.queue.admit(claim, candidates("quota:a:k"), "second")
