"""The table of all that lies sealed in Redis; what is not in it is lost by a rotation."""

from __future__ import annotations

import re

from internal.rdb.rewrap import SealedKind

SEALED_KINDS = (
    SealedKind(
        label="tasks",
        key=re.compile(r"tenant:(?P<tenant>[^:]+):task:(?P<id>[^:]+)"),
        name="task:{id}:{field}",
        fields=("access_token", "ai_api_key", "mcp_servers"),
    ),
    SealedKind(
        label="keys",
        key=re.compile(r"tenant:(?P<tenant>[^:]+):key:(?P<id>[^:]+)"),
        name="key:{id}",
        fields=("sealed",),
    ),
    SealedKind(
        label="webhooks",
        key=re.compile(r"tenant:(?P<tenant>[^:]+):webhook:(?P<id>[^:]+)"),
        name="webhook:{id}",
    ),
    SealedKind(
        label="mcp",
        key=re.compile(r"tenant:(?P<tenant>[^:]+):mcp:servers:(?P<id>[^:]*)"),
        name="mcp:{id}:{field}",
        member="sealed",
    ),
)
