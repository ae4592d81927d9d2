"""The gates as an operator sees them, and opening one by hand."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import pytest

from internal.clock import from_millis
from internal.errors import NotFound
from internal.task.gatekeeper import Gatekeeper, GateStand, Stand
from tests.support.queue_lab import Lab

pytestmark = pytest.mark.live_keys


@pytest.fixture
def keeper(lab: Lab) -> Gatekeeper:
    return Gatekeeper(lab.redis, lab.keys)


async def stands(keeper: Gatekeeper, tenant: str | None = None) -> dict[str, GateStand]:
    return {gate.key: gate for gate in await keeper.list(tenant)}


async def test_every_gate_that_says_something_is_listed(lab: Lab, keeper: Gatekeeper) -> None:
    """Shut ones, those at which something waits, and those with a limit of their own."""
    await lab.store.set_limits(
        {"tenant:*": 9, "repo:*": 1, "rate:tenant:b": 5, "budget:agent:demo:usd": 3, "weight:a": 2}
    )
    running = await lab.take_new("a")
    await lab.create("a")
    assert await lab.claim() is None
    await lab.shut("breaker:agent:demo", seconds=30)
    await lab.shut("hold:repo:b:r")

    seen = await stands(keeper)

    now = await lab.now()
    assert list(seen) == sorted(seen)
    assert {key: (gate.stand, gate.waiting) for key, gate in seen.items()} == {
        "breaker:agent:demo": (Stand.SHUT, 0),
        "budget:agent:demo": (Stand.OPEN, 0),
        "hold:repo:b:r": (Stand.SHUT, 0),
        "rate:tenant:b": (Stand.OPEN, 0),
        "repo:a:r": (Stand.SHUT, 1),
    }
    assert (seen["repo:a:r"].held, seen["repo:a:r"].limit) == (1, 1)
    assert seen["rate:tenant:b"].limit == 5
    breaker = seen["breaker:agent:demo"]
    assert (breaker.opens_at, breaker.since) == (from_millis(now + 30_000), from_millis(now))
    assert (breaker.why, breaker.times) == ("it broke", 1)
    assert seen["hold:repo:b:r"].opens_at is None
    assert seen["repo:a:r"].repo_url == "https://example.org/r"
    assert {seen[key].repo_url for key in ("hold:repo:b:r", "breaker:agent:demo")} == {None}
    await lab.run(running)


async def test_a_gate_behind_its_time_is_half_open(lab: Lab, keeper: Gatekeeper) -> None:
    """Also while one task is ahead of the others."""
    await lab.shut("breaker:agent:demo", seconds=0)
    assert (await stands(keeper))["breaker:agent:demo"].stand is Stand.HALF_OPEN

    await lab.take_new("a")

    assert (await stands(keeper))["breaker:agent:demo"].stand is Stand.HALF_OPEN


async def test_a_tenant_sees_its_own_and_what_all_share(lab: Lab, keeper: Gatekeeper) -> None:
    """Nobody learns another tenant's repositories, keys or limits."""
    own = ["hold:repo:a:r", "quota:a:f"]
    shared = ["breaker:endpoint:h", "hold:agent:demo"]
    for gate in (*own, *shared, "hold:repo:b:r", "quota:b:f", "quota:default:f"):
        await lab.shut(gate)
    await lab.store.set_limits({"tenant:a": 1, "budget:repo:b:x:usd": 1, "rate:tenant:b": 1})

    assert sorted(await stands(keeper, "a")) == sorted([*own, *shared, "tenant:a"])
    assert len(await stands(keeper)) == 10


async def test_a_released_gate_lets_what_waits_go_on(lab: Lab, keeper: Gatekeeper) -> None:
    """At once for what comes, by the next chores for what waits; a repeated call does no harm."""
    lab.twice = True
    await lab.shut("hold:repo:a:r")
    await lab.create("a")
    assert await lab.claim() is None

    await keeper.release("hold:repo:a:r", "a")

    assert (await stands(keeper))["hold:repo:a:r"].stand is Stand.OPEN
    await lab.reap()
    assert await stands(keeper) == {}
    assert await lab.claim() is not None
    with pytest.raises(NotFound):
        await keeper.release("hold:repo:a:r", "a")


@pytest.mark.parametrize(
    ("gate", "tenant"),
    [("hold:repo:b:r", "a"), ("hold:agent:demo", "a"), ("tenant:a", None), ("no such", None)],
)
async def test_nobody_opens_what_is_not_its_own(
    lab: Lab, keeper: Gatekeeper, gate: str, tenant: str | None
) -> None:
    """Nor a gate that no release can open: a cap opens when something ends."""
    await lab.shut("hold:repo:b:r")
    await lab.shut("hold:agent:demo")

    with pytest.raises(NotFound):
        await keeper.release(gate, tenant)

    assert set(await stands(keeper)) == {"hold:repo:b:r", "hold:agent:demo"}
