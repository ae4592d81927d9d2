"""Which credential a run uses, on a real Redis."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from datetime import timedelta

import pytest

from internal.crypto.box import SealBroken
from internal.keys.errors import KeyUnusable
from internal.keys.resolver import Resolved
from tests.support.key_desk import KEYS, TENANT, Desk

HUB = ("github", "https://github.com")
ENVIRONMENT = {"GITHUB_TOKEN": "env-hub", "GITEA_TOKEN": "env-tea", "ANTHROPIC_API_KEY": "env-ai"}


async def git(
    desk: Desk,
    place: tuple[str | None, str] = HUB,
    *,
    tenant: str = TENANT,
    inline: str | None = None,
    key: str | None = None,
    repository: str = "team/repo",
) -> Resolved | None:
    return await desk.resolver(ENVIRONMENT).git_token(
        tenant, *place, inline=inline, provider_key=key, repository=repository
    )


async def source(desk: Desk, place: tuple[str | None, str] = HUB, **how: str) -> str | None:
    found = await git(desk, place, **how)
    return None if found is None else f"{found.source}={found.value}"


async def test_the_order_is_inline_named_default_environment(desk: Desk) -> None:
    """
    Each source wins over those behind it, and the answer says which one it was.
    """
    assert await source(desk) == "environment=env-hub"
    await desk.add("main")
    assert await source(desk) == "default:main=value-of-main"
    await desk.add("other", "gitlab")
    assert await source(desk, key="main") == "key:main=value-of-main"
    assert await source(desk, key="main", inline="own") == "inline=own"


async def test_a_default_is_never_guessed(desk: Desk) -> None:
    """
    Among several that fit, the one that is named like its provider is the default, or none is.
    """
    await desk.add("a")
    await desk.add("b")
    assert await source(desk) == "environment=env-hub"

    await desk.add("github")

    assert await source(desk) == "default:github=value-of-github"


async def test_a_scope_makes_a_default_of_the_one_that_fits(desk: Desk) -> None:
    """
    With one key per team nobody has to name one.
    """
    await desk.add("a", scope=("team-a/*",))
    await desk.add("b", scope=("team-b/*",))

    assert await source(desk, repository="/team-a/x.git") == "default:a=value-of-a"
    assert await source(desk, repository="team-b/x") == "default:b=value-of-b"
    assert await source(desk, repository="team-c/x") == "environment=env-hub"


async def test_a_base_url_makes_a_host_known(desk: Desk) -> None:
    """
    A host that no setting names gets the key that was registered for it, with its provider.
    """
    await desk.add("corp", "gitlab", base_url="http://git.corp.example:3000")

    found = await git(desk, (None, "http://git.corp.example:3000"))

    assert found is not None
    assert (found.source, found.provider) == ("default:corp", "gitlab")
    assert found.base_url == "http://git.corp.example:3000"
    assert await git(desk, (None, "https://git.corp.example:3000")) is None
    assert await source(desk) == "environment=env-hub"


@pytest.mark.parametrize(
    "place",
    [(None, "https://evil.example.com"), ("github", "http://github.com"), (None, "")],
)
async def test_an_unknown_host_gets_nothing(desk: Desk, place: tuple[str | None, str]) -> None:
    """
    Neither a registered key nor the environment goes to a host that nobody vouched for.
    """
    await desk.add("main")

    assert await git(desk, place) is None
    assert await source(desk, place, inline="own") == "inline=own"


async def test_a_named_key_is_used_or_the_run_fails(desk: Desk) -> None:
    """
    Nothing is tried in the stead of what was asked for.
    """
    await desk.add("lab", "gitlab")
    await desk.add("old", expires_at=desk.clock.now() + timedelta(seconds=5))
    desk.clock.advance(seconds=6)

    for name, why in (("none", "no key named none"), ("lab", "gitlab"), ("old", "has expired")):
        with pytest.raises(KeyUnusable, match=why) as refused:
            await git(desk, key=name)
        assert refused.value.error_code == "auth_failed"


async def test_an_expired_default_is_none(desk: Desk) -> None:
    """
    What has expired does not stand in the way of the next source.
    """
    await desk.add("main", expires_at=desk.clock.now() + timedelta(seconds=5))
    desk.clock.advance(seconds=6)

    assert await source(desk) == "environment=env-hub"


async def test_fault_b6_a_tenant_cannot_use_another_tenants_keys(desk: Desk) -> None:
    """
    Neither by name nor by default, and the operator's environment is the operator's own.
    """
    await desk.add("main")

    assert await git(desk, tenant="other") is None
    assert await desk.resolver(ENVIRONMENT).model_keys("other", "anthropic", inline=None) == ()
    with pytest.raises(KeyUnusable, match="no key named main"):
        await git(desk, tenant="other", key="main")


async def models(desk: Desk, inline: str | None = None, provider: str = "anthropic") -> list[str]:
    """The list of keys for a model, as `source=value`."""
    found = await desk.resolver(ENVIRONMENT).model_keys(TENANT, provider, inline=inline)
    return [f"{key.source}={key.value}" for key in found]


async def test_a_model_key_comes_the_same_way(desk: Desk) -> None:
    """
    Inline, registered, environment; a git token is none.
    """
    await desk.add("main")
    assert await models(desk) == ["environment=env-ai"]

    await desk.add("ai", "anthropic", base_url="https://gateway.example.com")

    assert await models(desk) == ["default:ai=value-of-ai", "environment=env-ai"]
    first, _ = await desk.resolver(ENVIRONMENT).model_keys(TENANT, "anthropic", inline=None)
    assert first.base_url == "https://gateway.example.com"
    assert await models(desk, "own") == ["inline=own"]
    assert await models(desk, provider="openai") == []
    assert await models(desk, provider="github") == []


async def test_the_keys_for_a_model_have_an_order(desk: Desk) -> None:
    """
    That named like its provider, then by age; what has expired is none of them.
    """
    await desk.add("b", "anthropic")
    await desk.next_millisecond()
    await desk.add("a", "anthropic")
    await desk.add("old", "anthropic", expires_at=desk.clock.now() + timedelta(seconds=5))
    await desk.add("anthropic", "anthropic")
    await desk.add("google", "google")
    desk.clock.advance(seconds=6)

    names = [key.partition("=")[0] for key in await models(desk)]

    assert names == ["default:anthropic", "default:b", "default:a", "environment"]


async def test_a_key_that_does_not_open_stands_in_nobodys_way(desk: Desk) -> None:
    """
    Unless it is the only one: then the run says what is wrong.
    """
    await desk.add("a", "anthropic")
    await desk.redis.hset(KEYS.registered_key(TENANT, "a"), "sealed", "broken")
    with pytest.raises(SealBroken):
        await models(desk)

    await desk.add("b", "anthropic")

    assert await models(desk) == ["default:b=value-of-b", "environment=env-ai"]


async def test_only_the_key_that_is_used_was_used(desk: Desk) -> None:
    """
    The others of the list were looked at.
    """
    await desk.add("a", "anthropic")
    await desk.add("b", "anthropic")
    resolver = desk.resolver()
    first, second = await resolver.model_keys(TENANT, "anthropic", inline=None)

    await resolver.used(TENANT, second)

    assert first.source == "default:a"
    assert (await desk.registry.get(TENANT, "a")).last_used_at is None
    assert (await desk.registry.get(TENANT, "b")).last_used_at is not None


async def test_the_last_use_is_remembered(desk: Desk) -> None:
    """
    To the minute: a busy key is not written at each use.
    """
    await desk.add("main")
    await git(desk)
    first = (await desk.registry.get(TENANT, "main")).last_used_at
    assert first is not None

    desk.clock.advance(seconds=30)
    await git(desk)
    assert (await desk.registry.get(TENANT, "main")).last_used_at == first

    desk.clock.advance(seconds=60)
    await git(desk)
    later = (await desk.registry.get(TENANT, "main")).last_used_at
    assert later is not None
    assert later > first


def test_a_resolved_credential_never_shows_itself() -> None:
    """
    It may stand in a log of the object that holds it.
    """
    assert "hunter22" not in repr(Resolved(value="hunter22", source="inline"))
