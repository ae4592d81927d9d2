"""
Hooks for Schemathesis, which loads this file: what a request names is there (a repository, a host,
a time to come), so that the routes behind it have something to answer. What the description does
not allow stays as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import schemathesis

from tests.support.openapi import spec

_HERE = os.environ["API_FUZZ_URL"]
_REPOSITORY = os.environ["API_FUZZ_REPOSITORY"]
_REACHABLE: Mapping[str, tuple[str, str, str]] = {
    "repo_url": ("CreateTask", "repo_url", _REPOSITORY),
    "project": ("CreateTask", "repo_url", _REPOSITORY),
    "callback_url": ("CreateTask", "callback_url", _HERE),
    "url": ("NewWebhookEndpoint", "url", _HERE),
    "base_url": ("NewWebhookEndpoint", "url", _HERE),
    "package": ("NewMcpServer", "package", "some-package"),
    "command": ("NewMcpServer", "command", "some-command"),
    "target_branch": ("CreateTaskConfig", "target_branch", "HEAD"),
}
"""Member -> the member of the description that judges it, and what stands for every good value."""

_NEEDS_BASE_URL = {"gitea", "generic"}
_KEY_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_MAX_WAIT_SECONDS = 600
"""The most that a setting can allow; a server says so itself above its own."""


def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """The same for every phase; hooks on generated data miss the one that covers the limits."""
    del context, kwargs
    body: object = case.body
    if isinstance(body, dict | list):  # to assign a body is to have it judged anew
        case.body = _with_reachable(cast("object", body))
    if case.query:
        case.query = _with_reachable(dict(case.query))


# Its own signature has unknown types.
schemathesis.hook(before_call)  # pyright: ignore[reportUnknownMemberType]


def _with_reachable(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_reachable(item) for item in cast("Sequence[Any]", value)]
    if not isinstance(value, dict):
        return value
    members = cast("dict[str, Any]", value)
    changed = {name: _judged(name, member) for name, member in members.items()}
    if str(changed.get("provider")) in _NEEDS_BASE_URL and not changed.get("base_url"):
        changed["base_url"] = _HERE
    return changed


def _judged(name: str, value: Any) -> Any:
    if name == "wait" and isinstance(value, int | float) and value <= _MAX_WAIT_SECONDS:
        return min(value, 1)
    if name == "expires_at" and isinstance(value, str) and _is_time(value):
        return "2100-01-01T00:00:00Z"
    if name == "provider_key" and isinstance(value, str) and _KEY_NAME.match(value):
        return None  # of a key that is not there
    if name in _REACHABLE and isinstance(value, str) and value:
        schema, member, good = _REACHABLE[name]
        rule: Mapping[str, Any] = spec()["components"]["schemas"][schema]["properties"][member]
        fits = len(value) <= rule["maxLength"] and re.search(rule.get("pattern", ""), value)
        return good if fits else value
    return _with_reachable(value)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
