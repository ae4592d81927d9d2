"""Caps: never exceeded, no head-of-line wait, no lost wake-up."""

from __future__ import annotations

import asyncio

import pytest

from internal.task.model import Priority
from tests.support.queue_lab import Lab

pytestmark = pytest.mark.live_keys


async def test_a_tenants_cap_parks_the_whole_tenant(lab: Lab) -> None:
    """While it has its most at once, others go on; a release lets it go on."""
    await lab.store.set_limits({"tenant:a": 2})
    for _ in range(4):
        await lab.create("a")
    running = [await lab.take(), await lab.take()]

    assert await lab.claim() is None
    await lab.create("b")
    assert (await lab.take()).task.tenant == "b"
    await lab.run(running[0])

    assert (await lab.take()).task.tenant == "a"
    assert await lab.claim() is None


async def test_a_repositorys_cap_parks_only_its_tasks(lab: Lab) -> None:
    """The next task of the same tenant, of another repository, is claimed at once."""
    await lab.store.set_limits({"repo:*": 1})
    for repo in ("r", "r", "r", "s"):
        await lab.create("a", repo=repo)

    claims = [await lab.take(), await lab.take()]

    assert [claim.task.repo_url[-1] for claim in claims] == ["r", "s"]
    assert await lab.claim() is None
    world = await lab.world()
    assert sorted(world.places().values()) == [["gate repo:a:r"]] * 2 + [["lease"]] * 2


async def test_the_wait_is_told_once(lab: Lab) -> None:
    """`wait` says why a queued task does not run; its event comes once."""
    await lab.store.set_limits({"repo:*": 1})
    await lab.create("a")
    second = await lab.create("a")
    running = await lab.take()
    for _ in range(3):
        assert await lab.claim() is None
        await lab.reap()

    world = await lab.world()
    assert world.document(second)["wait_reason"] == "cap"
    assert world.names(second).count("system/waiting") == 1
    (told,) = [event["data"] for event in world.events(second) if event["event"] == "waiting"]
    assert told == {"reason": "cap", "until": None, "gate": "repo:a:r"}

    await lab.run(running)
    await lab.take()
    assert "wait_reason" not in await lab.document(second)


async def test_parked_tasks_go_on_by_priority_then_age(lab: Lab) -> None:
    """Not in the order in which they were tried."""
    await lab.store.set_limits({"repo:*": 1})
    running = await lab.take_new("a")
    low = await lab.create("a", priority=Priority.LOW)
    assert await lab.claim() is None
    first = await lab.create("a")
    await lab.sleep(1)
    second = await lab.create("a")
    high = await lab.create("a", priority=Priority.HIGH)
    assert await lab.claim() is None

    order: list[str] = []
    for _ in range(4):
        await lab.run(running)
        running = await lab.take()
        order.append(f"a/{running.task.id}")

    assert order == [high, first, second, low]


async def test_a_task_needs_all_its_gates_and_holds_none_while_it_waits(lab: Lab) -> None:
    """What is parked at one gate takes no place of another."""
    await lab.store.set_limits({"tenant:*": 2, "repo:*": 1})
    await lab.create("a", repo="r")
    await lab.create("a", repo="r")
    await lab.create("a", repo="s")
    await lab.take()

    claim = await lab.take()

    assert claim.task.repo_url.endswith("/s")
    assert len((await lab.world()).get("gate:tenant:a:held")) == 2


async def test_a_raised_limit_is_noticed_by_the_next_chores(lab: Lab) -> None:
    """Nobody releases anything, yet what waits goes on within one round of REAP."""
    await lab.store.set_limits({"tenant:a": 1, "repo:*": 1})
    for repo in ("r", "r", "s"):
        await lab.create("a", repo=repo)
    await lab.take()
    assert await lab.claim() is None

    await lab.store.set_limits({"tenant:a": 0, "repo:*": 0})
    await lab.reap()

    assert await lab.claim()
    assert await lab.claim()


async def test_every_gate_gets_its_turn(lab: Lab) -> None:
    """With more parked gates than one round looks at, all are looked at after some rounds."""
    await lab.store.set_limits({"repo:*": 1})
    for number in range(40):
        await lab.create("a", repo=f"r{number}")
        await lab.create("a", repo=f"r{number}")
    for _ in range(40):
        await lab.take()
    assert await lab.claim() is None
    await lab.store.set_limits({"repo:*": 2})

    for _ in range(4):
        await lab.sleep(1)
        await lab.reap(limit=10)

    assert not (await lab.world()).get("gates:parked")


async def test_one_call_parks_at_most_64_and_says_again(lab: Lab) -> None:
    """So no call is unbounded; the caller asks again and finds what is behind them."""
    await lab.store.set_limits({"repo:*": 1})
    await lab.take_new("a", repo="r")
    for _ in range(130):
        await lab.create("a", repo="r")
    last = await lab.create("a", repo="s")

    claim = await lab.take()

    assert f"a/{claim.task.id}" == last
    assert len((await lab.world()).get("gate:repo:a:r:parked")) == 130


async def test_a_cancelled_task_takes_its_tenants_turn_with_it(lab: Lab) -> None:
    """The lists of a parked tenant are emptied by cancels: nothing of it is left anywhere."""
    await lab.store.set_limits({"tenant:a": 1})
    running = await lab.take_new("a")
    refs = [await lab.create("a") for _ in range(3)]
    assert await lab.claim() is None

    for ref in refs:
        await lab.store.cancel(ref)

    world = await lab.world()
    assert not world.get("gate:tenant:a:parked")
    assert not world.get("gates:parked")
    await lab.run(running)
    await lab.create("a")
    assert await lab.claim()


async def test_what_was_let_go_on_and_cancelled_keeps_nobody_waiting(lab: Lab) -> None:
    """A release woke a task that is cancelled before it runs: the next one goes on all the same."""
    await lab.store.set_limits({"repo:*": 1})
    running = await lab.take_new("a")
    first, second = await lab.create("a"), await lab.create("a")
    assert await lab.claim() is None
    await lab.run(running)
    await lab.store.cancel(first)

    await lab.reap()

    assert f"a/{(await lab.take()).task.id}" == second


@pytest.mark.parametrize("end", ["finish", "hand back", "cancel", "lose"])
async def test_every_end_of_a_claim_gives_the_places_back(lab: Lab, end: str) -> None:
    """Places are sets of tasks, not counters: nothing can be given back twice or never."""
    await lab.store.set_limits({"tenant:a": 1, "repo:*": 1})
    running = await lab.take_new("a")
    waiting = await lab.create("a")
    assert await lab.claim() is None
    ref = f"a/{running.task.id}"
    if end == "finish":
        await lab.run(running)
    elif end == "hand back":
        await lab.queue.hand_back(running, "op", reason="disk_full", delay_seconds=60)
    elif end == "cancel":
        await lab.store.cancel(ref)
        await lab.lose()
    else:
        await lab.lose()
        await lab.store.cancel(ref)

    assert f"a/{(await lab.take('w2')).task.id}" == waiting


async def test_caps_hold_when_many_claim_at_once(lab: Lab) -> None:
    """Ten workers at the same time never get more than the cap, and get all of it."""
    await lab.store.set_limits({"tenant:a": 3})
    for _ in range(20):
        await lab.create("a")

    claims = await asyncio.gather(*(lab.claim(f"w{n}") for n in range(10)))

    assert sum(claim is not None for claim in claims) == 3


@pytest.mark.parametrize("tenant", ["repo", "tenant", "agent", "weight", "0", "-", "a" * 32])
async def test_any_name_of_a_tenant_works(lab: Lab, tenant: str) -> None:
    """A tenant may be called like anything that the keys use."""
    await lab.store.set_limits({"tenant:*": 1, "repo:*": 1})
    running = await lab.take_new(tenant, repo="x y/Ü:%d@h1 flow")
    second = await lab.create(tenant, repo="x y/Ü:%d@h1 flow")
    assert await lab.claim() is None

    await lab.run(running)
    await lab.instruct(f"{tenant}/{running.task.id}")

    claimed = [await lab.run_next() for _ in range(2)]
    assert claimed == ["completed", "completed"]
    assert await lab.status(second) == "completed"
