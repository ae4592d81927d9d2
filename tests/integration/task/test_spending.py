"""What a run has used is counted while it uses it: once, whoever tells it and however often."""

from __future__ import annotations

import pytest

from internal.agent.model import NO_USAGE, Usage
from internal.errors import Fenced
from internal.task.dayspending import DaySpending
from internal.task.model import Reason
from internal.task.state import State
from tests.support.queue_lab import Lab

pytestmark = pytest.mark.live_keys

_DAY = "2026-11-19"
_GATES = "cap 1 tenant:default\nbudget 1 budget:tenant:default\nbudget 1 budget:agent:demo\n"


@pytest.fixture(autouse=True)
def each_call_twice(lab: Lab) -> None:
    """As if every first reply was lost."""
    lab.twice = True


def used(part: int, *, model: str = "m") -> Usage:
    """What a run could have used when *part* of it is over."""
    return Usage(
        input_tokens=10 * part,
        output_tokens=part,
        cache_read_tokens=100 * part,
        cache_creation_tokens=2 * part,
        cost_usd=0.25 * part,
        turns=part,
        model=model,
    )


async def day(lab: Lab, gate: str = "tenant:default") -> dict[str, str]:
    found: dict[str, str] = (await lab.world()).get(f"spent:budget:{gate}:{_DAY}")
    return found


async def usage_today(lab: Lab) -> dict[str, str]:
    found: dict[str, str] = (await lab.world()).get(f"tenant:default:usage:{_DAY}")
    return found


async def test_usage_grows_in_the_document_while_the_run_goes_on(lab: Lab) -> None:
    """That of the run and that of the task; the day has it, too, and each budget above."""
    ref = await lab.create(gates=_GATES)
    await lab.run_next(usage=used(1))
    await lab.instruct(ref)
    await lab.redis.hset(lab.keys.task(*ref.split("/")), "gates", _GATES)
    claim = await lab.take()
    await lab.advance(claim)

    await lab.queue.spend(claim, used(1))
    await lab.queue.spend(claim, used(3))

    task = await lab.store.find("default", claim.task.id)
    assert task is not None
    assert (task.usage, task.usage_total.cost_usd, task.usage_total.turns) == (used(3), 1.0, 4)
    assert await usage_today(lab) == {"input_tokens": "40", "output_tokens": "4", "cost_usd": "1"}
    assert await day(lab, "agent:demo") == {"usd": "1", "tokens": "52"}


async def test_what_was_told_while_it_ran_is_not_counted_again_at_its_end(lab: Lab) -> None:
    """The last report is the whole of it; the counters of the deployment get it once."""
    await lab.create(gates=_GATES)
    claim = await lab.take()
    await lab.advance(claim)
    await lab.queue.spend(claim, used(2))

    await lab.finish(claim, usage=used(3))

    counters = (await lab.world()).get("counters")
    assert await day(lab) == {"usd": "0.75", "tokens": "39"}
    assert (counters["tokens:demo:input_tokens"], counters["cost_usd:demo"]) == ("30", "0.75")


async def test_a_lost_worker_takes_no_usage_with_it(lab: Lab) -> None:
    """What it told is in the task's total, in the day and in the counters; the next one adds."""
    ref = await lab.create(gates=_GATES)
    claim = await lab.take()
    await lab.advance(claim)
    await lab.queue.spend(claim, used(2))

    await lab.lose()
    waiting = await lab.store.find(*ref.split("/"))
    again = await lab.take("w2")
    await lab.run(again, usage=used(1))

    found = await lab.store.find(*ref.split("/"))
    assert waiting is not None
    assert found is not None
    assert (waiting.usage, waiting.usage_total) == (NO_USAGE, used(2))
    assert (found.usage, found.usage_total) == (used(1), used(3))
    assert await day(lab) == {"usd": "0.75", "tokens": "39"}
    assert (await lab.world()).get("counters")["tokens:demo:output_tokens"] == "3"


@pytest.mark.parametrize("how", ["hand back", "finish"])
async def test_a_report_without_usage_keeps_what_was_told(lab: Lab, how: str) -> None:
    """A worker that ends in a hurry knows nothing better."""
    ref = await lab.create(gates=_GATES)
    claim = await lab.take()
    await lab.advance(claim)
    await lab.queue.spend(claim, used(2))

    if how == "finish":
        await lab.finish(claim, failed=Reason.INTERNAL_ERROR)
    else:
        await lab.queue.hand_back(claim, lab.operation(), reason="shutdown")

    found = await lab.store.find(*ref.split("/"))
    assert found is not None
    assert found.usage_total == used(2)
    assert found.usage == (used(2) if how == "finish" else NO_USAGE)
    assert await day(lab) == {"usd": "0.5", "tokens": "26"}


async def test_a_run_counts_on_the_day_it_spends(lab: Lab) -> None:
    """It began before midnight: what it used until then is yesterday's."""
    await lab.create(gates=_GATES)
    claim = await lab.take()
    await lab.queue.spend(claim, used(1))
    await lab.sleep(86_400)
    await lab.beat("w1", "h1", [claim])

    await lab.queue.spend(claim, used(3))

    world = await lab.world()
    days = {match[1]: value["usd"] for match, value in world.matching(r"spent:budget:agent.*:(.*)")}
    assert [days[day] for day in sorted(days)] == ["0.25", "0.5"]
    assert {match[0] for match, _ in world.matching(r"spent:.*")} <= world.with_ttl


async def test_an_estimate_gives_way_to_the_price_the_agent_tells(lab: Lab) -> None:
    """The day is put right; a counter of the deployment never goes back."""
    await lab.create(gates=_GATES)
    claim = await lab.take()
    await lab.advance(claim)
    await lab.queue.spend(claim, Usage(input_tokens=10, cost_usd=0.9))

    await lab.finish(claim, usage=Usage(input_tokens=10, cost_usd=0.4))

    assert await day(lab) == {"usd": "0.4", "tokens": "10"}
    assert (await lab.world()).get("counters")["cost_usd:demo"] == "0.4"


async def test_unpriced_tokens_are_counted_beside_the_cost(lab: Lab) -> None:
    """In fields of their own, which an older server does not read."""
    ref = await lab.create(gates=_GATES)
    usage = Usage(input_tokens=5, output_tokens=2, model="new", unpriced_tokens=7)
    await lab.run_next(usage=usage)
    await lab.instruct(ref)
    await lab.run_next(usage=usage)

    task = await lab.store.find(*ref.split("/"), with_iterations=True)
    assert task is not None
    assert "unpriced" not in (await lab.document(ref))["usage"]
    assert (task.usage.unpriced_tokens, task.usage_total.unpriced_tokens) == (7, 14)
    assert [row.usage.unpriced_tokens for row in task.iterations or ()] == [7, 7]
    assert (await usage_today(lab))["unpriced_tokens"] == "14"
    assert (await lab.world()).get("counters")["unpriced_tokens:demo"] == "14"


async def test_spending_answers_how_the_day_stands(lab: Lab) -> None:
    """Of each limit that is set, its own or that of its class; of the others nothing."""
    await lab.store.set_limits({"budget:tenant:*:usd": 2, "budget:agent:demo:tokens": 100})
    await lab.create(gates=_GATES)
    await lab.create(gates=_GATES)
    first, second = await lab.take(), await lab.take()
    await lab.queue.spend(first, used(1))

    assert await lab.queue.spend(second, used(2)) == [
        DaySpending(scope="tenant:default", unit="usd", used=0.75, limit=2),
        DaySpending(scope="agent:demo", unit="tokens", used=39, limit=100),
    ]


async def test_nobody_spends_for_a_claim_that_is_not_his(lab: Lab) -> None:
    """After the end of a run, and after its lease was lost."""
    await lab.create(gates=_GATES)
    claim = await lab.take()
    await lab.run(claim, usage=used(1))

    with pytest.raises(Fenced):
        await lab.queue.spend(claim, used(5))

    assert await day(lab) == {"usd": "0.25", "tokens": "13"}


async def test_what_an_older_process_left_behind_is_settled_once(lab: Lab) -> None:
    """Its scripts know nothing of the field `spent`, so a claim may find that of another."""
    ref = await lab.create(gates=_GATES)
    claim = await lab.take()
    await lab.queue.spend(claim, used(2))
    spent = (await lab.document(ref))["spent"]
    await lab.queue.hand_back(claim, lab.operation(), reason="shutdown")
    await lab.redis.hincrby(lab.keys.counters(), "tokens:demo:output_tokens", -2)
    await lab.redis.hset(lab.keys.task("default", claim.task.id), "spent", spent)

    again = await lab.take()
    await lab.queue.spend(again, used(1))
    await lab.run(again, usage=used(1))

    assert (await lab.world()).get("counters")["tokens:demo:output_tokens"] == "3"
    assert await day(lab) == {"usd": "0.75", "tokens": "39"}


async def test_weakness_18_every_kind_of_token_and_the_dollars_are_told(lab: Lab) -> None:
    """Cache tokens and cost too, of each run and of the task."""
    ref = await lab.create()
    await lab.run_next(usage=used(2))

    found = await lab.store.find(*ref.split("/"))
    assert found is not None
    assert found.status is State.COMPLETED
    assert found.usage == found.usage_total == used(2)


async def test_unpriced_tokens_of_before_a_pause_outlive_a_lost_attempt(lab: Lab) -> None:
    """They are the run's as its other usage is; only those of the lost attempt are not."""
    ref = await lab.create(gates=_GATES)
    paused, lost = await lab.take(), Usage(input_tokens=5, unpriced_tokens=5)
    await lab.advance(paused)
    await lab.store.pause(ref)
    await lab.suspend(paused, usage=Usage(input_tokens=7, unpriced_tokens=7))
    await lab.store.resume(ref)
    again = await lab.take()
    await lab.queue.spend(again, lost)

    await lab.queue.hand_back(again, lab.operation(), reason="shutdown")

    task = await lab.store.find(*ref.split("/"))
    assert task is not None
    assert (task.usage.input_tokens, task.usage.unpriced_tokens) == (7, 7)
    assert task.usage_total.unpriced_tokens == 12


async def test_a_cancelled_follow_up_says_its_unpriced_tokens(lab: Lab) -> None:
    """Its row keeps what it had used up to its pause."""
    ref = await lab.create(gates=_GATES)
    await lab.run_next()
    await lab.instruct(ref)
    claim = await lab.take()
    await lab.advance(claim)
    await lab.store.pause(ref)
    await lab.suspend(claim, usage=Usage(input_tokens=7, unpriced_tokens=7))

    await lab.store.cancel(ref)

    task = await lab.store.find(*ref.split("/"), with_iterations=True)
    assert task is not None
    assert [row.usage.unpriced_tokens for row in task.iterations or ()] == [0, 7]
