"""Scopes include the ones below them; an operator is who administers the tenant `default`."""

from __future__ import annotations

import pytest

from internal.access.model import Caller, including, is_name, is_tenant


@pytest.mark.parametrize(
    ("given", "closed"),
    [
        ([], set[str]()),
        (["read"], {"read"}),
        (["tasks"], {"read", "tasks"}),
        (["admin"], {"read", "tasks", "admin"}),
        (["read", "admin"], {"read", "tasks", "admin"}),
    ],
)
def test_a_scope_brings_the_ones_below(given: list[str], closed: set[str]) -> None:
    """
    So a check asks for one scope and no caller has holes.
    """
    assert including(given) == closed


def test_an_operator_has_the_tenant_and_the_scope() -> None:
    """
    Either alone is not enough.
    """
    admin, tasks = including(["admin"]), including(["tasks"])

    assert Caller("default", "x", admin).is_operator
    assert not Caller("default", "x", tasks).is_operator
    assert not Caller("acme", "x", admin).is_operator


@pytest.mark.parametrize("text", ["", "a b", "a" * 65, "a:b", "a\n", "é", "server.auth_token"])
def test_what_is_no_name_of_a_token(text: str) -> None:
    """
    Nothing that could be a part of a key, a path or another line; nor the configured token's.
    """
    assert not is_name(text)


@pytest.mark.parametrize("text", ["", "A", "a_b", "a" * 33, "a:b", "a\n", "{a}", "*"])
def test_what_is_no_name_of_a_tenant(text: str) -> None:
    """
    It stands in Redis keys.
    """
    assert not is_tenant(text)
