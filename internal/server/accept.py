"""
A new task, accepted once: what every door for new tasks does behind its own checks.

A repeat gets the task that it made before, whatever became of the credential meanwhile: a client
that repeats a call wants to know its task.
"""

from __future__ import annotations

from internal.errors import Invalid
from internal.keys.registry import KeyRegistry
from internal.server.credential import check_credential
from internal.server.deps import TaskRules
from internal.task.model import TaskSpec
from internal.task.service import Submitted, TaskService


async def accept(
    tasks: TaskService,
    keys: KeyRegistry,
    rules: TaskRules,
    spec: TaskSpec,
    *,
    idempotency_key: str | None,
    request_hash: str,
) -> Submitted:
    """
    Submit *spec*, if its credential may be used.

    Raises:
        Invalid, Unavailable: as `check_credential`.
        Conflict, Unavailable: as `TaskService.submit`.
    """
    try:
        await check_credential(keys, rules, spec)
    except Invalid:
        if idempotency_key is None:
            raise
        known = await tasks.find_submitted(spec.tenant, idempotency_key, request_hash)
        if known is None:
            raise
        return known
    return await tasks.submit(spec, idempotency_key=idempotency_key, request_hash=request_hash)
