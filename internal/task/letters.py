"""
Dead letters: failed runs that nothing repeats any more, for a person to look at.

A letter is a reference in one sorted set of the deployment; what it says is its task's own record
and log, so it cannot contradict them and goes with them. The newest 10,000 are kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from internal.errors import Conflict, NotFound
from internal.task.event import StoredEvent
from internal.task.eventlog import EventLog
from internal.task.model import Reason, Task, Tenant
from internal.task.service import TaskService
from internal.task.state import State
from internal.task.store import TaskStore

_REFS = 1_000
"""References read at once: most may be another tenant's."""
_TASKS, _LOGS = 50, 10
"""Tasks, and ends of logs, read at once; both can be long."""
_PAGE_BYTES = 8 * 1024 * 1024
_EVIDENCE, _EVIDENCE_BYTES = 20, 64 * 1024
"""A letter shows so many of its newest events, the older ones only as far as there is room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which letters are meant; an empty member does not restrict. `since` is a time of death."""

    reason: Reason | None = None
    agent: str | None = None
    repo_url: str | None = None
    since: datetime | None = None

    def matches(self, task: Task) -> bool:
        failure = task.failure
        return (
            task.status is State.FAILED
            and failure is not None
            and self.reason in {None, failure.reason}
            and self.agent in {None, task.config.cli}
            and self.repo_url in {None, task.repo_url}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A letter; `evidence` are the newest events of its task, in order."""

    task: Task
    died_millis: int
    evidence: tuple[StoredEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterPage:
    """One page, newest first; `next_cursor` is None on the last."""

    letters: tuple[Letter, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """What became of many letters: ids of those done, and of those that were gone by then."""

    done: tuple[str, ...]
    skipped: tuple[str, ...]


class DeadLetters:
    """The letters of all tenants. Redis' own errors pass through."""

    def __init__(self, store: TaskStore, events: EventLog, tasks: TaskService) -> None:
        self._store = store
        self._events = events
        self._tasks = tasks

    async def list(
        self, tenant: Tenant, wanted: LetterFilter, *, limit: int, cursor: str | None = None
    ) -> LetterPage:
        """At most *limit* letters that match, newest first; a page of long ones ends early."""
        found = await self._find(tenant, wanted, limit=limit, cursor=cursor)
        letters: list[Letter] = []
        room = _PAGE_BYTES
        for begin in range(0, len(found), _LOGS):
            some = found[begin : begin + _LOGS]
            ids = [task.id for task, _ in some]
            logs = await self._events.tails(tenant, ids, count=_EVIDENCE)
            for (task, died), log in zip(some, logs, strict=True):
                evidence = _fitting(log)
                letters.append(Letter(task=task, died_millis=died, evidence=evidence))
                room -= sum(len(event.envelope) for event in evidence)
                room -= len(task.failure.message) if task.failure else 0
                if len(letters) == limit or room <= 0:
                    return LetterPage(letters=tuple(letters), next_cursor=f"{died}.{task.id}")
        return LetterPage(letters=tuple(letters), next_cursor=None)

    async def requeue(self, tenant: Tenant, task: str) -> Task:
        """
        Retry a dead letter, with fresh lives and repeats.

        Raises:
            NotFound: there is no such letter, or no longer.
        """
        try:
            return await self._tasks.retry(tenant, task, only_letter=True)
        except NotFound as error:
            raise _no_letter() from error

    async def discard(self, tenant: Tenant, task: str) -> None:
        """Take a letter out of the list; its task stays failed. Raises NotFound."""
        reply = await self._store.discard(f"{tenant}/{task}")
        if reply.word == "missing":
            raise _no_letter()

    async def requeue_many(self, tenant: Tenant, wanted: LetterFilter, *, limit: int) -> Handled:
        """
        Retry the newest *limit* letters that match. What was done when an error comes is done; the
        same call does the rest.
        """
        return await self._each(tenant, wanted, limit, self.requeue)

    async def discard_many(self, tenant: Tenant, wanted: LetterFilter, *, limit: int) -> Handled:
        """The same, to discard them."""
        return await self._each(tenant, wanted, limit, self.discard)

    async def _each(
        self,
        tenant: Tenant,
        wanted: LetterFilter,
        limit: int,
        act: Callable[[Tenant, str], Awaitable[object]],
    ) -> Handled:
        done: list[str] = []
        skipped: list[str] = []
        for task, _ in await self._find(tenant, wanted, limit=limit):
            try:
                await act(tenant, task.id)
            except (NotFound, Conflict):  # somebody else was faster
                skipped.append(task.id)
            else:
                done.append(task.id)
        return Handled(done=tuple(done), skipped=tuple(skipped))

    async def _find(
        self, tenant: Tenant, wanted: LetterFilter, *, limit: int, cursor: str | None = None
    ) -> Sequence[tuple[Task, int]]:
        """Up to *limit* tasks with the time they died in ms, newest first."""
        since = int(wanted.since.timestamp() * 1000) if wanted.since else None
        millis, _, last = (cursor or "").partition(".")
        before = (int(millis), f"{tenant}/{last}") if cursor else None
        found: list[tuple[Task, int]] = []
        while True:
            rows = await self._store.letters(before=before, since_millis=since, count=_REFS)
            mine = [row for row in rows if row[0].startswith(f"{tenant}/")]
            for begin in range(0, len(mine), _TASKS):
                found += await self._read(tenant, wanted, mine[begin : begin + _TASKS])
                if len(found) >= limit:
                    return found[:limit]
            if len(rows) < _REFS:
                return found
            before = rows[-1][1], rows[-1][0]

    async def _read(
        self, tenant: Tenant, wanted: LetterFilter, rows: Sequence[tuple[str, int]]
    ) -> Sequence[tuple[Task, int]]:
        died = {ref.partition("/")[2]: millis for ref, millis in rows}
        tasks = await self._store.find_many(tenant, list(died))
        return [(task, died[task.id]) for task in tasks if wanted.matches(task)]


def _fitting(log: Sequence[StoredEvent]) -> tuple[StoredEvent, ...]:
    """Of a log from its end, the newest event and what else fits, in order."""
    room, taken = _EVIDENCE_BYTES, 0
    for event in log:
        room -= len(event.envelope)
        if room < 0 and taken:
            break
        taken += 1
    return tuple(reversed(log[:taken]))


def _no_letter() -> NotFound:
    return NotFound("There is no such dead letter.")
