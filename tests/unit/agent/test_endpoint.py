"""Model endpoints told apart by host, and which one a run of Claude Code calls."""

from __future__ import annotations

from typing import Any

import pytest

from internal.agent.catalog import AVAILABLE
from internal.agent.claude import ClaudeCode
from internal.agent.endpoint import host_of
from internal.agent.model import ModelAccess

GATEWAY = {"ANTHROPIC_BASE_URL": "http://gateway:8080"}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.anthropic.com", "api.anthropic.com"),
        ("https://API.Anthropic.com:443/v1/", "api.anthropic.com"),
        ("http://127.0.0.1:8765", "127.0.0.1:8765"),
        ("https://user:secret@host.example.", "host.example"),
        ("http://[::1]:80/x", "[::1]"),
        ("ftp://host", None),
        ("https://", None),
        ("https://ho st", None),
        ("https://host:99999", None),
        ("https://" + "x" * 300, None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_a_host_has_one_spelling_and_holds_no_secret(url: str, host: str | None) -> None:
    """It becomes part of a key that people read; what is no address is none."""
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("access", "host"),
    [
        ({}, "api.anthropic.com"),
        ({"environment": GATEWAY}, "gateway:8080"),
        ({"api_key": "k", "environment": GATEWAY}, "api.anthropic.com"),
        ({"api_key": "k", "api_url": "https://own.example", "environment": GATEWAY}, "own.example"),
        (
            {
                "api_key": "k",
                "environment": GATEWAY,
                "environment_names": ("ANTHROPIC_BASE_URL",),
            },
            "gateway:8080",
        ),
        ({"environment_names": ("CLAUDE_CODE_USE_BEDROCK",)}, None),
    ],
)
def test_the_endpoint_is_the_one_that_a_launch_would_call(
    access: dict[str, Any], host: str | None
) -> None:
    """A task's own key never goes to the worker's gateway, unless the operator says so."""
    assert ClaudeCode().endpoint(ModelAccess(**access)) == host


def test_an_agent_without_a_model_has_no_endpoint() -> None:
    """The demo calls nobody."""
    assert AVAILABLE["demo"].endpoint(ModelAccess(environment=GATEWAY)) is None
