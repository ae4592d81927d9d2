"""The table of all that lies sealed in Redis; what is not in it is lost by a rotation."""

from __future__ import annotations

import re

from internal.rdb.rewrap import SealedKind

SEALED_KINDS = (
    SealedKind(
        label="tasks",
        key=re.compile(r"tenant:(?P<tenant>[^:]+):task:(?P<id>[^:]+)"),
        name="task:{id}:{field}",
        fields=("access_token", "ai_api_key"),
    ),
    SealedKind(
        label="keys",
        key=re.compile(r"tenant:(?P<tenant>[^:]+):key:(?P<id>[^:]+)"),
        name="key:{id}",
        fields=("sealed",),
    ),
)
