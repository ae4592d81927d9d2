"""
What becomes of a request for a task that exists: by its idempotency key, or its deduplication key.

It gets that task, or it is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from internal.errors import Conflict
from internal.task.model import Task, Tenant
from internal.task.store import TaskStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """
    An accepted task; `repeated` when it was there before: made by the same idempotency key, or
    `joined` by its deduplication key.
    """

    task: Task
    repeated: bool
    joined: bool = False


async def find_submitted(
    store: TaskStore, tenant: Tenant, idempotency_key: str, request_hash: str
) -> Submitted | None:
    """
    What *idempotency_key* has made; None when nothing.

    Raises:
        Conflict: by another request, or the task was deleted since.
    """
    made = await store.find_idempotent(tenant, idempotency_key)
    if made is None:
        return None
    task, known_hash = made
    if known_hash != request_hash:
        raise _other_request()
    found = await store.find(tenant, task)
    if found is None:
        raise _deleted()
    return Submitted(task=found, repeated=True)


def check_shared(word: str, task: str) -> None:
    """
    Whether a request that made no task may have *task*, by ENQUEUE's *word*.

    Raises:
        Conflict: it may not; `task_id` is the holder of the deduplication key.
    """
    match word:
        case "conflict":
            raise _other_request()
        case "deleted":
            raise _deleted()
        case "duplicate":
            raise _duplicate(f"Task {task} with this dedup.key is not finished.", task)
        case "full":
            raise _duplicate("The task with this dedup.key can tell no more callbacks.", task)
        case _:
            return


def _other_request() -> Conflict:
    message = "This Idempotency-Key was used for another request."
    return Conflict(message, code="idempotency_conflict")


def _deleted() -> Conflict:
    message = "The task of this Idempotency-Key was deleted."
    return Conflict(message, code="idempotency_conflict")


def _duplicate(message: str, task: str) -> Conflict:
    return Conflict(message, code="duplicate", task_id=task)
