"""API tokens: made once, known by their hash, dead when they are revoked or their time is over."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from internal.access.model import Caller, including
from internal.access.resolver import BELIEVED_SECONDS, CONFIGURED
from internal.access.store import MOST_TOKENS
from internal.crypto.bearer import make_token, token_hash
from internal.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from internal.rdb.client import connect
from tests.support.gatehouse import CONFIGURED_TOKEN, KEYS, Gatehouse

ADMIN_OF_ACME = Caller("acme", "boss", including(["admin"]))


async def test_a_token_stands_for_its_tenant_name_and_scopes(gatehouse: Gatehouse) -> None:
    """
    A scope brings the ones below it.
    """
    token = await gatehouse.make("ci", "tasks", tenant="acme")

    caller = await gatehouse.callers.identify(token)

    assert caller == Caller("acme", "ci", frozenset({"read", "tasks"}))


async def test_redis_has_no_token_only_hashes(gatehouse: Gatehouse, redis_client: Redis) -> None:
    """
    Whoever reads all of Redis can call nobody's name.
    """
    token = await gatehouse.make("ci")
    await gatehouse.callers.identify(token)

    stored = ""
    for key in cast("list[str]", await redis_client.keys("*")):
        stored += f"{key} {await redis_client.hgetall(key)}"

    assert token_hash(token) in stored
    assert token not in stored
    assert token.removeprefix("cft_") not in stored


async def test_a_name_is_given_once_per_tenant(gatehouse: Gatehouse) -> None:
    """
    So an entry of the audit log means one token; other tenants have names of their own.
    """
    await gatehouse.make("ci", tenant="acme")

    with pytest.raises(Conflict):
        await gatehouse.make("ci", tenant="acme")
    await gatehouse.make("ci", tenant="other")


async def test_of_many_that_want_one_name_one_gets_it(gatehouse: Gatehouse) -> None:
    """
    One script decides.
    """
    made = await asyncio.gather(*(gatehouse.make("ci") for _ in range(20)), return_exceptions=True)

    refused = [one for one in made if isinstance(one, Conflict)]
    assert len(refused) == 19
    assert len(await gatehouse.tokens.list(CONFIGURED)) == 1


async def test_a_revoked_token_is_dead_here_at_once_and_elsewhere_in_five_seconds(
    gatehouse: Gatehouse, redis_client: Redis
) -> None:
    """
    What Redis said is believed for so long, and not longer by being used.
    """
    elsewhere = Gatehouse(redis_client)
    token = await gatehouse.make("ci")
    await gatehouse.callers.identify(token)
    await elsewhere.callers.identify(token)

    await gatehouse.tokens.revoke(CONFIGURED, "ci")

    with pytest.raises(Unauthorized):
        await gatehouse.callers.identify(token)
    for _ in range(4):
        elsewhere.clock.advance(seconds=BELIEVED_SECONDS / 4 - 0.01)
        await elsewhere.callers.identify(token)
    elsewhere.clock.advance(seconds=0.04)
    with pytest.raises(Unauthorized):
        await elsewhere.callers.identify(token)


async def test_strangers_do_not_crowd_out_who_is_known(
    gatehouse: Gatehouse, redis_client: Redis
) -> None:
    """
    Tokens that nobody made are not remembered; one that is made later is known at once.
    """
    token = await gatehouse.make("ci")
    digest = token_hash(token)
    await redis_client.rename(KEYS.token(digest), "aside")
    with pytest.raises(Unauthorized):
        await gatehouse.callers.identify(token)
    await redis_client.rename("aside", KEYS.token(digest))
    await gatehouse.callers.identify(token)

    for _ in range(1100):
        with pytest.raises(Unauthorized):
            await gatehouse.callers.identify(make_token())
    await redis_client.delete(KEYS.token(digest))

    assert (await gatehouse.callers.identify(token)).name == "ci"


async def test_an_expired_token_is_dead_although_it_is_remembered(gatehouse: Gatehouse) -> None:
    """
    Its last second is not stretched by what is believed.
    """
    soon = gatehouse.clock.now() + timedelta(seconds=3)
    token = await gatehouse.make("ci", expires_at=soon)
    await gatehouse.callers.identify(token)

    gatehouse.clock.advance(seconds=3)

    with pytest.raises(Unauthorized):
        await gatehouse.callers.identify(token)


async def test_the_name_of_an_expired_token_is_free_again(
    gatehouse: Gatehouse, redis_client: Redis
) -> None:
    """
    Redis lets the token go at its time; the list does not show it, and a new one takes its name.
    """
    hour = gatehouse.clock.now() + timedelta(hours=1)
    first = await gatehouse.make("ci", expires_at=hour)
    assert await redis_client.pexpiretime(KEYS.token(token_hash(first))) == int(
        hour.timestamp() * 1000
    )

    await redis_client.delete(KEYS.token(token_hash(first)))  # as its TTL does

    assert await gatehouse.tokens.list(CONFIGURED) == []
    with pytest.raises(NotFound):
        await gatehouse.tokens.revoke(CONFIGURED, "ci")
    await gatehouse.make("ci")


async def test_a_token_that_would_be_dead_already_is_not_made(gatehouse: Gatehouse) -> None:
    """
    The message names the member.
    """
    with pytest.raises(Invalid) as caught:
        await gatehouse.make("ci", expires_at=gatehouse.clock.now())

    assert caught.value.fields == {"expires_at": "must be in the future"}


async def test_a_tenant_has_a_thousand_tokens_at_most(
    gatehouse: Gatehouse, redis_client: Redis
) -> None:
    """
    Names of expired ones do not count.
    """
    async with redis_client.pipeline(transaction=False) as pipe:
        for number in range(MOST_TOKENS):
            pipe.hset(KEYS.tokens("default"), f"gone-{number}", "0" * 64)
        await pipe.execute()
    await gatehouse.make("first")  # the names that nothing stands behind make room
    assert await redis_client.hlen(KEYS.tokens("default")) == 1

    async with redis_client.pipeline(transaction=False) as pipe:
        for number in range(MOST_TOKENS - 1):
            pipe.hset(KEYS.tokens("default"), f"live-{number}", f"digest-{number}")
            pipe.hset(KEYS.token(f"digest-{number}"), "tenant", "default")
        await pipe.execute()
    with pytest.raises(Conflict, match="at most 1000"):
        await gatehouse.make("too-many")


async def test_a_misspelt_token_costs_redis_nothing(redis_client: Redis) -> None:
    """
    What cannot be a token is refused while Redis is away; what can be one is asked about.
    """
    away = connect("unix:///nowhere/redis.sock", role="command")
    gatehouse = Gatehouse(away)

    for wrong in ("", "x", "cft_" + "a" * 49, make_token()[:-1], "\udcff"):
        with pytest.raises(Unauthorized):
            await gatehouse.callers.identify(wrong)
    with pytest.raises(RedisConnectionError):
        await gatehouse.callers.identify(make_token())
    assert await gatehouse.callers.identify(CONFIGURED_TOKEN) == CONFIGURED
    await away.aclose()


async def test_a_use_is_noted_at_most_once_a_minute(
    gatehouse: Gatehouse, redis_client: Redis
) -> None:
    """
    Thousands of requests are one write; a later minute is another.
    """
    token = await gatehouse.make("ci")
    key = KEYS.token(token_hash(token))

    async def used() -> int:
        gatehouse.clock.advance(seconds=BELIEVED_SECONDS)
        await gatehouse.callers.identify(token)
        return int(await redis_client.hget(key, "last_used_at") or 0)

    first = await used()
    assert [await used() for _ in range(5)] == [first] * 5
    await redis_client.hset(key, "last_used_at", first - 60_000)

    assert await used() >= first
    listed = await gatehouse.tokens.list(CONFIGURED)
    assert listed[0].last_used_at is not None


async def test_a_token_in_use_is_looked_up_once_in_five_seconds(
    gatehouse: Gatehouse, redis_client: Redis
) -> None:
    """
    A busy client costs Redis one question, however much it asks of us.
    """
    token = await gatehouse.make("ci")
    await redis_client.config_resetstat()

    for _ in range(200):
        await gatehouse.callers.identify(token)

    stats = await redis_client.info("commandstats")
    assert stats["cmdstat_hmget"]["calls"] == 1


async def test_using_a_token_does_not_bring_it_back(
    gatehouse: Gatehouse, redis_client: Redis
) -> None:
    """
    A use that comes after the revocation writes nothing.
    """
    token = await gatehouse.make("ci")
    await gatehouse.tokens.revoke(CONFIGURED, "ci")

    with pytest.raises(Unauthorized):
        await gatehouse.callers.identify(token)

    assert await redis_client.keys("*") == []


async def test_an_administrator_of_a_tenant_sees_and_makes_only_its_own(
    gatehouse: Gatehouse,
) -> None:
    """
    Only those of `default` act for others; nobody else learns which tenants there are.
    """
    await gatehouse.make("theirs", tenant="other")
    await gatehouse.make("ours", by=ADMIN_OF_ACME)

    mine = await gatehouse.tokens.list(ADMIN_OF_ACME)
    assert [(token.tenant, token.name) for token in mine] == [("acme", "ours")]
    for tenant in ("other", "nobody", "default"):
        with pytest.raises(Forbidden):
            await gatehouse.tokens.list(ADMIN_OF_ACME, tenant=tenant)
        with pytest.raises(Forbidden):
            await gatehouse.make("more", tenant=tenant, by=ADMIN_OF_ACME)
        with pytest.raises(Forbidden):
            await gatehouse.tokens.revoke(ADMIN_OF_ACME, "theirs", tenant=tenant)
    theirs = await gatehouse.tokens.list(CONFIGURED, tenant="other")
    assert [(token.name, token.created_by) for token in theirs] == [
        ("theirs", "default/server.auth_token")
    ]


async def test_a_lesser_token_of_the_operators_tenant_is_no_operator(
    gatehouse: Gatehouse,
) -> None:
    """
    It takes the scope and the tenant.
    """
    lesser = Caller("default", "ci", including(["tasks"]))

    with pytest.raises(Forbidden):
        await gatehouse.tokens.list(lesser, tenant="acme")
