"""Breakers and quota gates, fed by what attempts report: when they shut, and what opens them."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from internal.control.breaker import BreakerRule, Sample
from internal.control.gate import Gate
from internal.control.quota import Shut
from internal.errors import Fenced
from internal.task.judgement import Judgement
from internal.task.model import Claim, Reason
from internal.task.queue import Lane
from tests.support.queue_lab import Lab

pytestmark = pytest.mark.live_keys

AGENT = "breaker:agent:demo"
HOST = "breaker:endpoint:api.example.com"
QUOTA = "quota:default:0123456789abcdef"
RULE = BreakerRule(
    window_seconds=100,
    minimum_calls=4,
    failure_rate=0.5,
    slow_rate=0.75,
    slow_seconds=10,
    consecutive=3,
    pause_seconds=30,
    longest_pause_seconds=100,
)
RATE_ONLY = replace(RULE, consecutive=0)


def sample(*, failed: bool = False, key: str = AGENT, seconds: float = 0.0) -> Sample:
    return Sample(key=key, failed=failed, rule=RULE, seconds=seconds)


async def judge(lab: Lab, claim: Claim, **what: Any) -> None:
    await lab.queue.judge(claim, Judgement(**what), lab.operation())


async def report(lab: Lab, claim: Claim, *samples: Sample) -> None:
    """The end of a run that says this."""
    await judge(lab, claim, samples=samples)
    await lab.run(claim)


async def many(lab: Lab, *samples: Sample) -> None:
    """As many runs, one after the other."""
    for one in samples:
        await lab.create()
        await report(lab, await lab.take(), one)


async def gate(lab: Lab, key: str = AGENT) -> dict[str, str]:
    """The hash of a gate; empty while it is open."""
    found: dict[str, str] = (await lab.world()).get(f"gate:{key}:until")
    return found


async def shut_for(lab: Lab, key: str = AGENT) -> float:
    """Seconds until a gate may be tried; 0 for one that is not shut."""
    found = await gate(lab, key)
    return (int(found["until"]) - await lab.now()) / 1000 if found else 0


OK, BAD = sample(), sample(failed=True)


async def test_failures_in_a_row_open_a_breaker(lab: Lab) -> None:
    """A success between them starts the row anew; the log of the task that did it says so."""
    bad = replace(BAD, rule=replace(RULE, failure_rate=0))
    await many(lab, bad, bad, OK, bad, bad)
    assert await shut_for(lab) == 0

    lab.twice = True
    ref = await lab.create()
    await report(lab, await lab.take(), bad)
    lab.twice = False

    assert await shut_for(lab) == 30
    world = await lab.world()
    told = [e["data"] for e in world.events(ref) if e["type"] == "control"]
    assert [e["breaker"] for e in told] == [AGENT]
    assert told[0]["why"] == "3 failures in a row"
    assert world.get("counters")["breakers_opened:agent"] == "1"


@pytest.mark.parametrize("rule", [RULE, RATE_ONLY], ids=["row", "rate"])
async def test_one_tenant_alone_takes_no_agent_from_the_others(lab: Lab, rule: BreakerRule) -> None:
    """
    An agent can be made to fail by what it is told: no tenant is more than half of what opens a
    breaker, as long as somebody else was there within a day.
    """
    failure = replace(sample(failed=True), rule=rule)
    await lab.create("other")
    await lab.run(await lab.take())
    for _ in range(20):
        await lab.create("hostile")
        await report(lab, await lab.take(), failure)
    alone = await gate(lab)

    for _ in range(20):
        await lab.create("other")
        claim = await lab.queue.claim(Lane.AGENT, worker="w", home="h")
        if claim is None:
            break
        await report(lab, claim, failure)

    assert not alone
    assert (await gate(lab))["why"].endswith(("failures in a row", "calls failed"))


async def test_a_share_of_failures_needs_enough_calls(lab: Lab) -> None:
    """Two of three say nothing, two of four do; what is older than the window does not count."""
    bad, good = replace(BAD, rule=RATE_ONLY), replace(OK, rule=RATE_ONLY)
    await many(lab, good, bad, bad)
    await lab.sleep(101)
    await many(lab, good, good, bad)
    assert await shut_for(lab) == 0

    await many(lab, bad)

    assert (await gate(lab))["why"] == "2 of 4 calls failed"


async def test_a_row_of_failures_is_one_of_the_window(lab: Lab) -> None:
    """What is rarely used fails now and then; what is older than the window says nothing."""
    for _ in range(4):
        await many(lab, BAD)
        await lab.sleep(60)
    assert await shut_for(lab) == 0

    await many(lab, BAD, BAD)

    assert (await gate(lab))["why"] == "3 failures in a row"


async def test_slow_calls_open_a_breaker_although_they_succeed(lab: Lab) -> None:
    """An endpoint that answers each run after a minute keeps every slot busy."""
    slow, quick = sample(key=HOST, seconds=11), sample(key=HOST, seconds=10)
    await many(lab, slow, quick, slow)
    assert await shut_for(lab, HOST) == 0

    await many(lab, slow)

    assert (await gate(lab, HOST))["why"] == "3 of 4 calls were slow"


async def test_while_it_is_shut_nothing_counts(lab: Lab) -> None:
    """What began before says nothing new, good or bad."""
    refs = [await lab.create() for _ in range(5)]
    claims = [await lab.take() for _ in refs]
    for claim in claims[:3]:
        await report(lab, claim, BAD)
    before = await gate(lab)

    await judge(lab, claims[3], works=[AGENT], samples=[OK])
    await judge(lab, claims[4], samples=[BAD])

    assert await gate(lab) == before
    assert not (await lab.world()).get(f"gate:{AGENT}:window")


async def opened(lab: Lab) -> None:
    """A breaker that opened, and one more task that waits at it."""
    await many(lab, BAD, BAD, BAD)
    assert await shut_for(lab) == 30


async def test_one_probe_goes_first_and_its_success_lets_all_go_on(lab: Lab) -> None:
    """The pause over, one task is tried; the first answer it gets opens the gate for the others."""
    await opened(lab)
    refs = [await lab.create() for _ in range(3)]
    assert await lab.claim() is None
    await lab.sleep(30)
    await lab.reap()

    probe = await lab.take()
    await lab.reap()
    assert await lab.claim() is None
    lab.twice = True
    await judge(lab, probe, works=[AGENT])
    lab.twice = False
    await lab.reap()

    assert not await gate(lab)
    others = [await lab.take(), await lab.take()]
    assert {c.task.id for c in (probe, *others)} == {ref.partition("/")[2] for ref in refs}
    names = (await lab.world()).names(f"default/{probe.task.id}")
    assert names.count("control/breaker_closed") == 1


async def test_each_probe_that_fails_doubles_the_pause(lab: Lab) -> None:
    """Up to the longest; a success forgets it."""
    await opened(lab)
    await lab.sleep(30)
    for pause in (60, 100, 100):
        await many(lab, BAD)
        assert await shut_for(lab) == pause
        await lab.sleep(pause)
    await lab.create()
    probe = await lab.take()
    await judge(lab, probe, works=[AGENT], samples=[OK])
    await lab.run(probe)

    await many(lab, BAD, BAD, BAD)

    assert await shut_for(lab) == 30


async def test_weakness_7_a_probe_cannot_leak(lab: Lab) -> None:
    """Killed, handed back, cancelled, ended without a word: the next task is the probe."""
    await opened(lab)
    for _ in range(5):
        await lab.create()
    await lab.sleep(30)
    await lab.reap()

    killed = await lab.take("w-dead")
    await lab.lose("w-dead")
    again = await lab.take()
    assert again.task.id == killed.task.id
    await lab.queue.hand_back(again, lab.operation(), reason="shutdown")
    again = await lab.take()
    await lab.store.cancel(f"default/{again.task.id}")
    await lab.finish(again, failed=Reason.CANCELED)
    await lab.reap()
    silent = await lab.take()
    await lab.run(silent)
    await lab.reap()

    last = await lab.take()
    await judge(lab, last, works=[AGENT])
    assert not await gate(lab)


async def test_only_the_probes_failure_counts_behind_the_pause(lab: Lab) -> None:
    """A run from before the pause that fails now says nothing of what it is like now."""
    for _ in range(4):
        await lab.create()
    old = await lab.take()
    for _ in range(3):
        await report(lab, await lab.take(), BAD)
    await lab.sleep(8)
    await lab.beat("w1", "h1", [old])
    await lab.sleep(22)
    before = await gate(lab)

    await judge(lab, old, samples=[BAD])
    assert await gate(lab) == before
    await judge(lab, old, works=[AGENT])

    assert not await gate(lab)


async def test_a_used_up_key_is_shut_for_all_who_have_it(lab: Lab) -> None:
    """Who learns it first waits there; whoever asks after it waits, too; one goes first."""
    candidates = [[Gate(key=QUOTA), Gate(key=HOST)]]
    refs = [await lab.create() for _ in range(3)]
    first, second = await lab.take(), await lab.take()
    assert await lab.queue.admit(first, candidates, lab.operation()) == 0
    lab.twice = True
    await judge(lab, first, shut=[Shut(key=QUOTA, seconds=600, why="quota_exhausted")])
    operation = lab.operation()
    await lab.queue.hand_back(first, operation, reason="quota_exhausted", quota=True, gate=QUOTA)
    lab.twice = False

    assert await lab.queue.admit(second, candidates, lab.operation()) is None
    world = await lab.world()
    for ref in refs[:2]:
        assert world.document(ref)["at"] == f"gate {QUOTA}"
        assert world.document(ref)["wait_reason"] == "quota"
        assert int(world.document(ref)["wait_until"]) == await lab.now() + 600_000
    assert world.document(refs[0])["quota_waits"] == "1"
    assert world.document(refs[0])["retries"] == "0"
    assert world.document(refs[0])["lost"] == "0"

    await lab.sleep(600)
    await lab.reap()
    probe = await lab.take()
    assert await lab.queue.admit(probe, candidates, lab.operation()) == 0
    await lab.reap()
    other = await lab.take()
    assert await lab.queue.admit(other, candidates, lab.operation()) is None
    await judge(lab, probe, works=[QUOTA])
    await lab.reap()
    assert await lab.queue.admit(await lab.take(), candidates, lab.operation()) == 0


async def test_a_later_word_never_shortens_a_wait(lab: Lab) -> None:
    """Two runs end at once: what waits longest is right; an open gate takes any time."""
    await lab.create()
    claim = await lab.take()

    for seconds in (600, 60, 900):
        await judge(lab, claim, shut=[Shut(key=QUOTA, seconds=seconds, why="rate_limited")])

    assert await shut_for(lab, QUOTA) == 900
    assert (await gate(lab, QUOTA))["times"] == "2"


async def test_a_zombie_says_nothing(lab: Lab) -> None:
    """Whose lease is lost may have seen anything."""
    await lab.create()
    claim = await lab.take("w-dead")
    await lab.lose("w-dead")

    with pytest.raises(Fenced):
        await judge(lab, claim, shut=[Shut(key=QUOTA, seconds=600, why="x")], samples=[BAD] * 3)

    assert not await gate(lab)
    assert not await gate(lab, QUOTA)


async def test_many_endpoints_fill_no_memory(lab: Lab) -> None:
    """A tenant may name a new one in each key: the newest are listed, windows end by themselves."""
    await lab.create()
    claim = await lab.take()

    for group in range(25):
        hosts = [f"breaker:endpoint:h{group}-{n}.example.com" for n in range(10)]
        await judge(lab, claim, samples=[sample(key=host) for host in hosts])

    world = await lab.world()
    assert len(world.get("breakers")) == 200
    windows = {name for name in world.values if name.endswith(":window")}
    assert windows <= world.with_ttl


async def test_a_clock_that_goes_back_leaves_no_count_behind(lab: Lab) -> None:
    """After a failover to a slower clock the window holds nothing of the future."""
    bad = replace(BAD, rule=RATE_ONLY)
    await many(lab, bad, bad, bad)
    await lab.sleep(-3600)

    await many(lab, bad)

    assert await shut_for(lab) == 0
