"""Registering, looking at and erasing keys, on a real Redis."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from internal.crypto.box import Box, SealBroken
from internal.errors import Conflict, NotFound, Unavailable
from internal.keys.errors import KeyUnusable
from internal.keys.model import GitPlace, KeyProvider, NewKey
from internal.keys.store import KeyStore
from internal.rdb.client import connect
from tests.support.key_desk import KEYS, TENANT, Desk

PLACE = GitPlace(origin="https://github.com", repository="team/repo", provider="github")


async def test_a_key_is_told_without_its_value(desk: Desk) -> None:
    """
    What was said of it comes back, and of the value its end alone; the value opens for a worker.
    """
    expires = desk.clock.now().replace(microsecond=0) + timedelta(days=1)

    made = await desk.add(
        "ci",
        token="ghp_canary0123456789x7Qd",  # noqa: S106 - nothing is behind it
        base_url="https://ghe.example.com:8443",
        scope=("team/*",),
        expires_at=expires,
    )

    assert made == await desk.registry.get(TENANT, "ci")
    assert made == (await desk.registry.list(TENANT))[0]
    assert (made.hint, made.kid, made.scope) == ("…x7Qd", "k1", ("team/*",))
    assert (made.expires_at, made.last_used_at) == (expires, None)
    assert (await desk.registry.open(TENANT, "ci"))[1] == "ghp_canary0123456789x7Qd"


async def test_the_value_lies_sealed_in_its_place(desk: Desk) -> None:
    """
    Nothing of it stands in Redis in clear, and a record that is moved does not open.
    """
    await desk.add("one", token="canary-0123456789")  # noqa: S106 - nothing is behind it
    await desk.add("two")
    fields = await desk.redis.hgetall(KEYS.registered_key(TENANT, "one"))

    await desk.redis.hset(KEYS.registered_key(TENANT, "two"), "sealed", fields["sealed"])

    assert "canary-0123" not in str(fields)
    with pytest.raises(SealBroken):
        await desk.registry.open(TENANT, "two")


async def test_fault_a31_a_name_is_given_once(desk: Desk) -> None:
    """
    A second key of a name is refused whatever its provider, so erasing by name is never ambiguous.
    """
    await desk.add("ci")

    with pytest.raises(Conflict, match="ci already"):
        await desk.add("ci", "gitlab")

    assert (await desk.registry.get(TENANT, "ci")).provider is KeyProvider.GITHUB


async def test_of_many_at_once_one_registers_the_name(desk: Desk) -> None:
    """
    Looking and writing are one step.
    """
    added = [desk.add("ci", token=f"value-number-{number}") for number in range(20)]

    ended = await asyncio.gather(*added, return_exceptions=True)

    assert sum(not isinstance(each, BaseException) for each in ended) == 1
    assert sum(isinstance(each, Conflict) for each in ended) == 19


async def test_a_repeated_call_does_not_count_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The client library repeats a call whose answer was lost; the second finds what the first did.
    """
    monkeypatch.setattr("internal.keys.store.random_token", lambda: "one-operation")

    made = [await desk.add("ci", token="a-value-0123456789") for _ in range(2)]  # noqa: S106
    erased = [await desk.store.delete(TENANT, "ci") for _ in range(2)]

    assert made[0] == made[1]
    assert erased == [True, True]
    assert await desk.registry.list(TENANT) == []


async def test_keys_are_listed_oldest_first_and_by_tenant(desk: Desk) -> None:
    """
    Each tenant sees its own, and one may have a name that another has.
    """
    for name in ("b", "a", "c"):
        await desk.add(name)
        await asyncio.sleep(0.002)  # the order is by the millisecond
    await desk.add("a", tenant="other")

    assert [key.name for key in await desk.registry.list(TENANT)] == ["b", "a", "c"]
    assert [key.name for key in await desk.registry.list("other")] == ["a"]
    with pytest.raises(NotFound):
        await desk.registry.get("other", "b")


async def test_an_erased_key_is_gone(desk: Desk) -> None:
    """
    Its name is free again, and erasing it twice says so.
    """
    await desk.add("ci")

    await desk.registry.delete(TENANT, "ci")

    with pytest.raises(NotFound):
        await desk.registry.delete(TENANT, "ci")
    with pytest.raises(NotFound):
        await desk.registry.delete("other", "ci")
    assert await desk.registry.list(TENANT) == []
    await desk.add("ci", "gitlab")


async def test_using_a_key_does_not_bring_it_back(desk: Desk) -> None:
    """
    A key that is erased while a run opens it stays erased.
    """
    await desk.add("ci")
    await desk.registry.delete(TENANT, "ci")

    await desk.store.touch(TENANT, "ci")

    assert await desk.redis.exists(KEYS.registered_key(TENANT, "ci")) == 0


async def test_a_tenant_has_a_thousand_keys_at_most(desk: Desk) -> None:
    """
    Choosing a default looks at all of them, so there is an end to their number.
    """
    names = {f"k{number}": number for number in range(1000)}
    await desk.redis.zadd(KEYS.registered_keys(TENANT), names)

    with pytest.raises(Conflict, match="1000"):
        await desk.add("one-more")
    await desk.redis.delete(KEYS.registered_keys(TENANT))


async def test_a_task_may_name_only_a_key_that_fits(desk: Desk) -> None:
    """
    What is known when a task is submitted is judged then.
    """
    await desk.add("hub")
    await desk.add("lab", "gitlab")
    await desk.add("old", expires_at=desk.clock.now() + timedelta(seconds=5))

    await desk.registry.check(TENANT, "hub", PLACE)
    with pytest.raises(KeyUnusable, match="is for the hosts of gitlab"):
        await desk.registry.check(TENANT, "lab", PLACE)
    with pytest.raises(KeyUnusable, match="There is no key named none"):
        await desk.registry.check(TENANT, "none", PLACE)
    desk.clock.advance(seconds=6)
    with pytest.raises(KeyUnusable, match="has expired"):
        await desk.registry.check(TENANT, "old", PLACE)


async def test_without_redis_every_call_says_so(desk: Desk) -> None:
    """
    An outage is told as that, not as a key that is not there.
    """
    away = connect("unix:///nowhere/redis.sock", role="blocking")
    store = KeyStore(away, KEYS)

    with pytest.raises(Unavailable):
        await store.find(TENANT, "ci")
    with pytest.raises(Unavailable):
        await store.create(
            TENANT, NewKey(name="ci", provider=KeyProvider.GITHUB), hint="…", sealed="{}"
        )
    await away.aclose()


async def test_a_value_under_another_master_key_does_not_open(desk: Desk) -> None:
    """
    A worker with the wrong key is told what is wrong with it.
    """
    await desk.add("ci")
    desk.box = Box({"k2": bytes(range(32))}, active="k2")

    with pytest.raises(SealBroken, match="not configured here"):
        await desk.registry.open(TENANT, "ci")
