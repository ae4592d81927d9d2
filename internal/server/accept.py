"""
A new task, accepted once: what every door for new tasks does behind its own checks.

A repeat gets the task that it made before, whatever became of the credential meanwhile: a client
that repeats a call wants to know its task.
"""

from __future__ import annotations

from internal.errors import Invalid, RateLimited, Unavailable
from internal.keys.registry import KeyRegistry
from internal.server.credential import check_credential
from internal.server.deps import TaskRules
from internal.server.pressure import Doorkeeper
from internal.task.acceptance import Submitted
from internal.task.model import TaskSpec
from internal.task.service import TaskService


async def accept(
    tasks: TaskService,
    keys: KeyRegistry,
    rules: TaskRules,
    door: Doorkeeper,
    spec: TaskSpec,
    *,
    idempotency_key: str | None,
    request_hash: str,
) -> Submitted:
    """
    Submit *spec*, if its credential may be used and there is room for new work.

    Raises:
        Invalid, Unavailable: as `check_credential`.
        RateLimited, Unavailable: as `Doorkeeper.check`.
        Conflict, Unavailable: as `TaskService.submit`.
    """
    try:
        await check_credential(keys, rules, spec)
        await door.check()
    except (Invalid, RateLimited, Unavailable):
        if idempotency_key is None:
            raise
        known = await tasks.find_submitted(spec.tenant, idempotency_key, request_hash)
        if known is None:
            raise
        return known
    return await tasks.submit(spec, idempotency_key=idempotency_key, request_hash=request_hash)
