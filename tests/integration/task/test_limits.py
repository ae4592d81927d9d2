"""The policy's limits in Redis: those of now, and none of before."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import pytest

from tests.support.queue_lab import Lab

pytestmark = pytest.mark.live_keys


async def test_a_limit_that_left_the_policy_leaves_redis(lab: Lab) -> None:
    """A repeat changes nothing, and what an escalation has lowered stays."""
    lab.twice = True
    await lab.redis.hset(lab.keys.limits(), "throttle:agent:demo", "1")
    await lab.store.set_limits({"tenant:*": 3, "rate:tenant:a": 2, "weight:a": 0.5})

    await lab.store.set_limits({"tenant:*": 4, "weight:*": 2})

    limits = (await lab.world()).get("limits")
    assert limits == {"tenant:*": "4", "weight:*": "2", "throttle:agent:demo": "1"}


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"agent:*": 3}, 3),
        ({"agent:*": 3, "agent:demo": 2}, 2),
        ({"agent:*": 1, "agent:demo": 0}, 4),
        ({"repo:*": 2, "repo:*:r": 3}, 3),
        ({"repo:*": 2, "repo:*:r": 3, "repo:a:r": 1}, 1),
        ({"repo:*": 1, "repo:*:other": 3}, 1),
    ],
)
async def test_the_narrowest_limit_counts(lab: Lab, limits: dict[str, float], most: int) -> None:
    """Of the gate, of the repository whoever works on it, of everybody else; 0 is none."""
    await lab.store.set_limits(limits)
    for _ in range(4):
        await lab.create("a")

    claims = [await lab.claim() for _ in range(4)]

    assert sum(claim is not None for claim in claims) == most


async def test_a_throttled_gate_has_the_lower_of_its_limits(lab: Lab) -> None:
    """Also one that had none, or a lower one already."""
    await lab.redis.hset(lab.keys.limits(), "throttle:agent:demo", "1")
    await lab.create("a")
    await lab.create("b")
    await lab.take()

    assert await lab.claim() is None
    await lab.redis.hdel(lab.keys.limits(), "throttle:agent:demo")
    await lab.reap()
    assert await lab.claim() is not None


async def test_everybody_elses_weight(lab: Lab) -> None:
    """A tenant without one of its own has that of `*`."""
    await lab.store.set_limits({"weight:*": 2, "weight:a": 4})
    for _ in range(20):
        await lab.create("a")
        await lab.create("b")

    served = [str((await lab.take()).task.tenant) for _ in range(18)]

    assert served.count("a") == 12
