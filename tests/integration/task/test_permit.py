"""The permit: what a claim gives, what it takes with it when it goes, and what refuses one."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import pytest

from internal.errors import Fenced
from internal.task.codec import decode_task
from internal.task.model import Claim, Permit, Reason
from internal.task.queue import Lane
from tests.support.queue_lab import Lab

pytestmark = pytest.mark.live_keys


def ref_of(claim: Claim) -> str:
    return f"{claim.task.tenant}/{claim.task.id}"


async def permit_of(lab: Lab, claim: Claim) -> Permit | None:
    return decode_task(await lab.document(ref_of(claim))).permit


async def test_a_claim_is_a_permit_with_an_attempt_and_an_end(lab: Lab) -> None:
    """It ends with the claim, and the next one is another."""
    first = await lab.take_new("a")
    permit = await permit_of(lab, first)
    assert permit is not None
    assert permit.deadline is not None
    assert (permit.deadline - permit.granted_at).total_seconds() == 300

    await lab.queue.hand_back(first, "back", reason="shutdown")
    assert await permit_of(lab, first) is None
    await lab.sleep(5)
    second = await permit_of(lab, await lab.take("w2"))

    assert second is not None
    assert (permit.attempt, second.attempt) == (1, 2)
    assert (second.granted_at - permit.granted_at).total_seconds() == 5


async def test_the_loss_of_the_permit_ends_the_run(lab: Lab) -> None:
    """Its worker is told by the next heartbeat, and nothing it says counts any more."""
    claim = await lab.take_new("a")
    await lab.advance(claim)
    await lab.lose()

    assert (await lab.beat("w1", "h1", [claim]))[1] == 0
    with pytest.raises(Fenced):
        await lab.finish(claim)
    assert await permit_of(lab, claim) is None


async def test_a_permit_that_another_release_has_not_given_is_not_shown(lab: Lab) -> None:
    """A script without permits claimed it since: what is left of the one before says nothing."""
    claim = await lab.take_new("a")
    key = lab.keys.task("a", claim.task.id)
    await lab.redis.hset(key, "permit", "another-token 1795100300000")

    assert await permit_of(lab, claim) is None
    for gate in ("rate:tenant:a", "hold:agent:demo"):  # it takes every gate for a cap
        await lab.redis.sadd(lab.keys.gate_held(gate), ref_of(claim))

    await lab.run(claim)

    left = [name for name in (await lab.world()).values if name.endswith(":held")]
    assert not left


async def test_weakness_4_a_refusal_has_a_name_and_an_end(lab: Lab) -> None:
    """
    What may not start is not asked for over and over: it waits at a named gate, looked at again
    when that can open; and a run without lives left ends as a dead letter.
    """
    await lab.store.set_limits({"agent:demo": 1})
    running = await lab.take_new("a")
    waiting = await lab.create("b")
    assert await lab.claim() is None
    wait = decode_task(await lab.document(waiting)).wait
    assert wait is not None
    assert (wait.reason, wait.gate) == ("cap", "agent:demo")
    seq = (await lab.document(waiting))["seq"]
    for _ in range(5):
        await lab.reap()
        assert await lab.claim() is None
    assert (await lab.document(waiting))["seq"] == seq
    await lab.run(running)

    for worker in ("w2", "w3"):
        await lab.take(worker)
        await lab.lose(worker)
    await lab.take("w4", lane=Lane.ALONE)
    await lab.lose("w4")

    assert await lab.status(waiting) == "failed"
    assert waiting in (await lab.world()).get("dead")


async def test_weakness_8_a_cancelled_run_keeps_its_places_until_it_has_ended(lab: Lab) -> None:
    """Its processes are still dying: two would run where one may."""
    await lab.store.set_limits({"repo:*": 1})
    running = await lab.take_new("a")
    await lab.advance(running)
    waiting = await lab.create("a")
    await lab.store.cancel(ref_of(running))

    assert await lab.claim() is None
    await lab.reap()
    assert await lab.claim() is None

    await lab.finish(running, failed=Reason.CANCELED)
    assert ref_of(await lab.take()) == waiting
