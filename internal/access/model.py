"""
Callers, scopes and tokens, as data.

A scope includes the ones below it, so a caller's set is closed: who may administer may also write
and read. What belongs to whom is decided by the tenant alone, never by a scope.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a token may do, from the least."""

    READ = "read"
    TASKS = "tasks"
    """Submit tasks and act on them."""
    ADMIN = "admin"
    """Keys, tokens, webhooks, MCP servers, and the audit log of the tenant."""


_UPWARD = tuple(Scope)


def including(scopes: frozenset[Scope]) -> frozenset[str]:
    """*scopes* and all below the highest of them."""
    highest = max((_UPWARD.index(scope) for scope in scopes), default=-1)
    return frozenset(scope.value for scope in _UPWARD[: highest + 1])


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request: the tenant, name and scopes of the token, and where it came from."""

    tenant: str
    name: str
    """The token's; `server.auth_token` for the configured one."""
    scopes: frozenset[str]
    """Closed: `admin` never comes without `tasks` and `read`."""
    request_id: str = ""
    address: str = ""
    """The network address that the request came from: the last proxy's, where there is one."""
