"""
Lists tasks: the index has their order, everything else is looked at row by row.

There is one index, by time; a filter reads on until a page is full, so rare matches cost reads and
nothing else does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from internal.task.model import Task, Tenant
from internal.task.state import State
from internal.task.store import TaskStore

_SEARCH_STEP = 50
"""Tasks read at once while a listing looks for matches; a prompt can have 400 KB."""

_PAGE_BYTES = 8 * 1024 * 1024
"""A page of long tasks ends early, with a cursor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks a listing shows; an empty member does not restrict."""

    status: frozenset[State] = frozenset()
    repo_url: str | None = None
    agent: str | None = None
    label: tuple[str, str] | None = None
    text: str | None = None
    since: datetime | None = None

    def matches(self, task: Task) -> bool:
        return (
            (not self.status or task.status in self.status)
            and self.repo_url in {None, task.repo_url}
            and self.agent in {None, task.config.cli}
            and (self.label is None or task.labels.get(self.label[0]) == self.label[1])
            and self._has_text(task)
        )

    def _has_text(self, task: Task) -> bool:
        if self.text is None:
            return True
        wanted = self.text.casefold()
        return wanted in task.prompt.casefold() or wanted in task.repo_url.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """One page of a listing; `next_cursor` is None on the last."""

    tasks: tuple[Task, ...]
    next_cursor: str | None


async def list_tasks(
    store: TaskStore,
    tenant: Tenant,
    wanted: TaskFilter,
    *,
    limit: int,
    cursor: str | None,
    window: int,
) -> TaskPage:
    """
    At most *limit* tasks that match, newest first, without iterations.

    A search by text looks at *window* tasks from the cursor on.
    """
    since = int(wanted.since.timestamp() * 1000) if wanted.since else None
    matches: list[Task] = []
    looked_at, room = 0, _PAGE_BYTES
    while True:
        rows = await store.ids(tenant, before=cursor, since_millis=since, count=_SEARCH_STEP)
        found = await store.find_many(tenant, [task for task, _ in rows])
        by_id = {str(task.id): task for task in found}
        for row_id, created in rows:
            cursor = f"{created}.{row_id}"
            task = by_id.get(row_id)
            if task is not None and wanted.matches(task):
                matches.append(task)
                room -= len(task.prompt) + len(task.result or "")
                if len(matches) == limit or room <= 0:
                    return TaskPage(tasks=tuple(matches), next_cursor=cursor)
        looked_at += len(rows)
        if len(rows) < _SEARCH_STEP or (wanted.text and looked_at >= window):
            return TaskPage(tasks=tuple(matches), next_cursor=None)
