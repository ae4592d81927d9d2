"""Who git says it is when a host asks for a user beside the token."""

from __future__ import annotations

import pytest

from internal.git.credentials import user_and_password


@pytest.mark.parametrize(
    ("host", "token", "pair"),
    [
        ("github.com", "ghp_1", ("x-access-token", "ghp_1")),
        ("gitlab.com", "glpat-1", ("oauth2", "glpat-1")),
        ("git.corp.example", "user:pass", ("x-access-token", "user:pass")),
        ("bitbucket.org", "ATCTT-1", ("x-token-auth", "ATCTT-1")),
        ("bitbucket.org", "ann:app-password", ("ann", "app-password")),
        ("bitbucket.org", "ann@corp.example:ATATT-1", ("x-bitbucket-api-token-auth", "ATATT-1")),
        ("bitbucket.org", "odd:", ("x-token-auth", "odd:")),
    ],
)
def test_each_host_is_told_the_user_it_wants(host: str, token: str, pair: tuple[str, str]) -> None:
    """Most take any name; Bitbucket has three kinds of credentials."""
    assert user_and_password(host, token) == pair
