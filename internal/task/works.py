"""The recorded work of a task as a diff: from Redis, or from its home if Redis has only a part."""

from __future__ import annotations

import asyncio
import base64

from internal.errors import NotFound
from internal.task import diffstore
from internal.task.diffstore import StoredDiff
from internal.task.model import Task, Work
from internal.task.ops import OpKind, Ops
from internal.task.store import TaskStore


async def read_work(
    store: TaskStore, ops: Ops, task: Task, iteration: int | None
) -> tuple[StoredDiff, bool]:
    """
    The work of *task* (with its iterations) up to the end of *iteration*, and whether it is whole.

    Raises:
        NotFound: no work there.
        Unavailable: only a home that is away has it.
    """
    rows = [row for row in task.iterations or () if row.work is not None]
    if iteration is not None:
        rows = [row for row in rows if row.number == iteration]
    if not rows or (work := rows[-1].work) is None:
        raise NotFound("There is no recorded work.")
    packed = await store.stored_diff(task.tenant, task.id, rows[-1].number)
    if packed is None:
        raise NotFound("There is no recorded work.")
    stored = await asyncio.to_thread(diffstore.unpack, packed)
    if not stored.truncated or stored.withheld:
        return stored, not stored.truncated
    return await _ask_home(ops, task, work, stored.diff.base)


async def _ask_home(ops: Ops, task: Task, work: Work, base: str) -> tuple[StoredDiff, bool]:
    args = {"tenant": task.tenant, "task": task.id, "base": base, "commit": work.commit}
    answer = await ops.ask(work.home, OpKind.READ_DIFF, args)
    packed = base64.b64decode(str(answer["diff"]))
    return await asyncio.to_thread(diffstore.unpack, packed), bool(answer["complete"])
