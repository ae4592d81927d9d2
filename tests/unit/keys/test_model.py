"""Where a registered key may be used, told without Redis."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from internal.keys.model import (
    GitPlace,
    KeyProvider,
    RegisteredKey,
    hint_of,
    is_name,
    is_scope_pattern,
    is_token,
    origin_of,
    refusal,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEY = RegisteredKey(name="k", provider=KeyProvider.GITHUB, hint="…", kid="00000000", created_at=NOW)
GITHUB = GitPlace(origin="https://github.com", repository="team/repo", provider="github")


def own(base_url: str, *scope: str) -> RegisteredKey:
    return replace(KEY, base_url=base_url, scope=scope)


def at(url: str, repository: str = "team/repo", provider: str | None = None) -> GitPlace:
    return GitPlace(origin=origin_of(url), repository=repository, provider=provider)


def test_a_key_goes_to_the_hosts_of_its_provider() -> None:
    """
    Without a base URL a key is for its provider's hosts, whoever the caller says they are.
    """
    assert refusal(KEY, GITHUB, NOW) is None
    assert refusal(KEY, at("https://git.example.com", provider="github"), NOW) is None


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (at("https://evil.example.com"), "not for https://evil.example.com"),
        (at("https://gitlab.com", provider="gitlab"), "not for https://gitlab.com"),
        (at("http://github.com", provider="github"), "over https"),
        (GitPlace(origin="a local repository", repository="a/b"), "not for a local repository"),
    ],
)
def test_a_key_goes_nowhere_else(place: GitPlace, why: str) -> None:
    """
    A task that names somebody else's host, or asks without encryption, does not get it.
    """
    assert why in str(refusal(KEY, place, NOW))


@pytest.mark.parametrize(
    ("base_url", "place", "fits"),
    [
        ("https://git.example.com", at("https://git.example.com"), True),
        ("https://git.example.com/", at("https://GIT.example.com:443"), True),
        ("https://git.example.com/api/v3", at("https://git.example.com"), True),
        ("https://api.github.com", GITHUB, True),
        ("https://api.team.ghe.com", at("https://team.ghe.com"), True),
        ("https://api.bitbucket.org/2.0", at("https://bitbucket.org"), True),
        ("https://api.example.com", at("https://example.com"), False),
        ("https://git.example.com:8443", at("https://git.example.com:8443"), True),
        ("http://10.0.0.1:3000", at("http://10.0.0.1:3000"), True),
        ("https://example.com/gitlab", at("https://example.com", "gitlab/team/repo"), True),
        ("https://example.com/gitlab", at("https://example.com", "gitlabs/team/repo"), False),
        ("https://git.example.com", at("http://git.example.com"), False),
        ("https://git.example.com", at("https://git.example.com:8443"), False),
        ("https://git.example.com", at("https://evil.git.example.com"), False),
        ("https://git.example.com", GITHUB, False),
    ],
)
def test_a_base_url_is_the_only_place(base_url: str, place: GitPlace, fits: bool) -> None:
    """
    Scheme, host, port and path are its owner's word: nothing beside them gets the key.
    """
    assert (refusal(own(base_url), place, NOW) is None) is fits


@pytest.mark.parametrize(
    ("pattern", "repository", "fits"),
    [
        ("team/repo", "team/repo", True),
        ("Team/Repo", "team/repo", True),
        ("team/*", "team/other", True),
        ("team/*", "team/group/deep", True),
        ("team/repo", "team/repo2", False),
        ("team/*", "teams/repo", False),
        ("team/*", "team", False),
    ],
)
def test_a_scope_names_repositories(pattern: str, repository: str, fits: bool) -> None:
    """
    A key with a scope opens what it lists, and nothing that only begins like it.
    """
    key = replace(KEY, scope=("other/one", pattern))

    assert (refusal(key, replace(GITHUB, repository=repository), NOW) is None) is fits


def test_a_scope_is_read_below_the_base_url() -> None:
    """
    On a host that lives under a path, owners begin behind that path.
    """
    key = own("https://example.com/gitlab", "team/*")

    assert refusal(key, at("https://example.com", "gitlab/team/repo"), NOW) is None
    assert refusal(key, at("https://example.com", "gitlab/other/repo"), NOW) is not None


def test_a_key_ends() -> None:
    """
    From the moment of its end on it is not used, and the reason is told.
    """
    key = replace(KEY, expires_at=NOW + timedelta(seconds=1))

    assert refusal(key, GITHUB, NOW) is None
    assert refusal(key, GITHUB, NOW + timedelta(seconds=1)) == "has expired"


def test_a_model_key_is_no_git_token() -> None:
    """
    Naming the wrong kind of key is told as that.
    """
    key = replace(KEY, provider=KeyProvider.ANTHROPIC)

    assert "hosts no repositories" in str(refusal(key, GITHUB, NOW))


@pytest.mark.parametrize(
    ("token", "hint"), [("ghp_0123456789abx7Qd", "…x7Qd"), ("short", "…"), ("x" * 15, "…")]
)
def test_a_hint_shows_the_end_of_a_long_token_only(token: str, hint: str) -> None:
    """
    Four characters of a short one would be a good part of it.
    """
    assert hint_of(token) == hint


def test_what_is_a_name_a_token_and_a_pattern() -> None:
    """
    The limits of each, at their edges.
    """
    assert is_name("a" * 64)
    assert is_name("_index-1")
    assert not any(is_name(text) for text in ("", "a" * 65, "a b", "a:b", "ä", "a\n"))
    assert is_token("x" * 4096)
    assert not any(is_token(text) for text in ("", "x" * 4097, "a b", "a\n", "ä", "a\x00"))
    assert all(map(is_scope_pattern, ("o/r", "o/*", "g/s/r", "g/s/*", "o.x/r_1-2")))
    assert not any(
        map(is_scope_pattern, ("", "*", "o", "o/", "/r", "o/*/r", "o/r*", "o//r", "o/ r"))
    )
