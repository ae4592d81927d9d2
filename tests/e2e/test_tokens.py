"""`codeforge tokens` beside a running `up`, with the limit that a deployment has by default."""

from __future__ import annotations

import json
from collections.abc import Generator

import pytest

from codeforge.client import ApiError, Client
from tests.support.deployment import Deployment, running


@pytest.fixture(scope="module")
def limited() -> Generator[Deployment]:
    with running({"CODEFORGE_RATE_LIMIT__ENABLED": "true"}) as deployment:
        yield deployment


def test_a_token_from_add_to_revoke(limited: Deployment) -> None:
    """
    Its text is all that `add` prints; with it a client may do what the scope says, until revoked.
    """
    made = limited.run("tokens", "add", "ci", "--scope", "read", "--expires", "90d")
    text = made.stdout.strip()
    again = limited.run("tokens", "add", "ci")
    listed = limited.run("tokens", "list")
    with Client(limited.url, text) as client:
        client.list()
        with pytest.raises(ApiError) as refused:
            client.submit({"repo_url": "https://example.com/r", "prompt": "x"})
        revoked = limited.run("tokens", "revoke", "ci")
        with pytest.raises(ApiError) as gone:
            client.list()
    unknown = limited.run("tokens", "revoke", "ci")
    wrong = limited.run("tokens", "add", "x", "--expires", "soon")
    noted = json.loads(limited.run("tokens", "audit", "--json").stdout)["entries"]
    shown = limited.run("tokens", "audit")

    assert made.returncode == 0, made.stderr
    assert text.startswith("cft_")
    assert again.returncode == 3
    assert "ci  default  read  until" in listed.stdout
    assert text not in listed.stdout
    assert (refused.value.status, revoked.returncode, gone.value.status) == (403, 0, 401)
    assert (unknown.returncode, wrong.returncode) == (3, 2)
    assert [entry["action"] for entry in noted] == ["token.revoke", "token.create"]
    assert "server.auth_token 127.0.0.1  token.create  ci" in shown.stdout
    log = (limited.directory / "up.log").read_text()
    assert text not in log
    assert "default/ci" in log  # who asked stands on the line of each request


def test_a_deployment_takes_ten_tasks_a_minute_of_a_token(limited: Deployment) -> None:
    """
    Version A's default; another token has its own ten.
    """
    with Client(limited.url, limited.token) as client:
        for _ in range(10):
            with pytest.raises(ApiError, match="repo_url"):
                client.submit({"prompt": "x"})
        with pytest.raises(ApiError) as refused:
            client.submit({"prompt": "x"})

    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")
