"""
Callers, scopes and tokens, as data.

A scope includes the ones below it, so a caller's set is closed: who may administer may also write
and read. What belongs to whom is decided by the tenant alone, never by a scope.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_TENANT = re.compile(r"[a-z0-9-]{1,32}\Z")

OPERATOR_TENANT = "default"
"""Its administrators run the deployment: they make tokens of any tenant."""


class Scope(StrEnum):
    """What a token may do, from the least."""

    READ = "read"
    TASKS = "tasks"
    """Submit tasks and act on them."""
    ADMIN = "admin"
    """Keys, tokens, webhooks, MCP servers, and the audit log of the tenant."""


def is_name(text: str) -> bool:
    """Whether a token may be called so."""
    return bool(_NAME.match(text))


def is_tenant(text: str) -> bool:
    """Whether a tenant may be called so."""
    return bool(_TENANT.match(text))


_UPWARD = tuple(Scope)


def including(scopes: Iterable[str]) -> frozenset[str]:
    """*scopes* and all below the highest of them."""
    highest = max((_UPWARD.index(Scope(scope)) for scope in scopes), default=-1)
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

    @property
    def is_operator(self) -> bool:
        """Whether this caller administers the whole deployment."""
        return self.tenant == OPERATOR_TENANT and Scope.ADMIN in self.scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """What is known of a token; of the token itself only a hash is kept."""

    tenant: str
    name: str
    """`[A-Za-z0-9_-]{1,64}`, one of its kind in the tenant."""
    scopes: frozenset[str]
    created_at: datetime
    created_by: str
    """Name of the token that made this one, with its tenant when that is another."""
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the minute."""
