"""
The use cases of a task: the only door for the edges.

Everything a client can ask for is one method here, over one script. The worker's side (claim,
report) goes through `internal.task.queue`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from internal.clock import Clock
from internal.control.gate import encode_gates
from internal.control.policy import Policy
from internal.crypto.box import Box
from internal.errors import Conflict, NotFound
from internal.fault import fault_point
from internal.ids import random_token, sortable_id
from internal.task import diffstore
from internal.task.acceptance import Submitted, check_shared, find_submitted
from internal.task.codec import decode_task, encode_config
from internal.task.diffstore import StoredDiff
from internal.task.event import StoredEvent
from internal.task.eventlog import EventLog
from internal.task.facts import run_facts
from internal.task.listing import TaskFilter, TaskPage, list_tasks
from internal.task.model import ConfigChanges, Task, TaskSpec, Tenant
from internal.task.ops import Ops
from internal.task.precondition import check_budget, check_done
from internal.task.state import FINISHED, State
from internal.task.stats import Stats, read_stats
from internal.task.store import Backlog, TaskStore
from internal.task.submission import new_task_fields
from internal.task.works import read_work


@dataclass(frozen=True, slots=True, kw_only=True)
class Directed:
    """A directive that was taken; `delivery` is `running` or `next`."""

    directive: str
    status: State
    delivery: str


class TaskService:
    """What clients can do with tasks. Raises `internal.errors`; Redis' own errors pass through."""

    def __init__(
        self,
        store: TaskStore,
        events: EventLog,
        ops: Ops,
        *,
        box: Box,
        clock: Clock,
        policy: Policy,
        state_ttl_seconds: int,
        public_url: str,
        search_window: int,
    ) -> None:
        self._store = store
        self._events = events
        self._ops = ops
        self._box = box
        self._clock = clock
        self._policy = policy
        self._state_ttl_seconds = state_ttl_seconds
        self._public_url = public_url.rstrip("/")
        self._search_window = search_window

    async def submit(
        self,
        spec: TaskSpec,
        *,
        idempotency_key: str | None = None,
        request_hash: str = "",
    ) -> Submitted:
        """
        Accept a task; it is queued and durable when this returns.

        *request_hash* tells whether a repeated *idempotency_key* (kept 24 h) asks for the same.

        Raises:
            Conflict: the key was used with another request, or its task was deleted since; or the
                holder of the deduplication key (`task_id`) stands against it.
            Unavailable: stored, but on too few replicas; repeat with the same key.
        """
        task = sortable_id()
        fields = new_task_fields(
            spec,
            task,
            self._box,
            gates=self._gates(spec),
            state_ttl_seconds=self._state_ttl_seconds,
            public_url=self._public_url,
        )
        reply = await self._store.create(
            spec.tenant,
            task,
            fields,
            idempotency_key=idempotency_key or "",
            request_hash=request_hash,
        )
        fault_point("task_stored")
        if reply.word != "ok":
            known = str(reply.rest[0])
            check_shared(reply.word, known)
            found = await self.get(spec.tenant, known)
            return Submitted(task=found, repeated=True, joined=reply.word == "joined")
        made = {"id": task, "tenant": spec.tenant, "created_at": reply.rest[0], **fields}
        stored = {name: str(value) for name, value in made.items()}
        return Submitted(task=decode_task(stored), repeated=False)

    async def find_submitted(
        self, tenant: Tenant, idempotency_key: str, request_hash: str
    ) -> Submitted | None:
        """What *idempotency_key* has made; None when nothing. Raises Conflict as `submit`."""
        return await find_submitted(self._store, tenant, idempotency_key, request_hash)

    async def get(self, tenant: Tenant, task: str, *, with_iterations: bool = False) -> Task:
        """The task. Raises NotFound."""
        found = await self._store.find(tenant, task, with_iterations=with_iterations)
        if found is None:
            raise NotFound("There is no such task.")
        return found

    async def states(self, tenant: Tenant, tasks: Sequence[str]) -> Mapping[str, State]:
        """The states of those of *tasks* that exist."""
        return await self._store.states(tenant, tasks)

    async def list(
        self, tenant: Tenant, wanted: TaskFilter, *, limit: int, cursor: str | None = None
    ) -> TaskPage:
        """
        Tasks that match, newest first, without iterations.

        A search by text looks at the newest `limits.search_window` tasks from the cursor on.
        """
        return await list_tasks(
            self._store, tenant, wanted, limit=limit, cursor=cursor, window=self._search_window
        )

    async def instruct(
        self, tenant: Tenant, task: str, prompt: str, changes: ConfigChanges | None = None
    ) -> Task:
        """
        Queue a follow-up; the task is `awaiting_instruction` when this returns.

        *changes* of its config hold from now on.

        Raises:
            NotFound, Conflict (it is not finished, or its budget is used up).
        """
        known = await self.get(tenant, task)
        config = changes.applied_to(known.config) if changes else known.config
        check_budget(known, config)
        gates = self._gates(known)
        reply = await self._store.instruct(
            f"{tenant}/{task}",
            random_token(),
            prompt,
            gates,
            config=encode_config(config) if changes else "",
        )
        check_done(reply, "instructed")
        return await self.get(tenant, task)

    async def retry(self, tenant: Tenant, task: str, *, only_letter: bool = False) -> Task:
        """
        Queue the failed iteration again, from the work before it; *only_letter*: a dead letter.

        Raises:
            NotFound, Conflict (it did not fail, or its budget is used up).
        """
        known = await self.get(tenant, task)
        check_budget(known, known.config)
        gates = self._gates(known)
        reply = await self._store.retry(
            f"{tenant}/{task}", random_token(), gates, only_letter=only_letter
        )
        check_done(reply, "retried")
        return await self.get(tenant, task)

    async def cancel(self, tenant: Tenant, task: str) -> State | None:
        """
        End a queued task now, or ask the worker of a running one.

        Returns the state a queued task is in now, None when a process is being ended.

        Raises:
            NotFound, Conflict (nothing to cancel).
        """
        reply = check_done(await self._store.cancel(f"{tenant}/{task}"), "cancelled")
        fault_point("cancel_stored")
        return None if reply.word == "cancelling" else State(reply.rest[0])

    async def pause(self, tenant: Tenant, task: str) -> bool:
        """
        Pause a queued task now, or ask the worker of a running one; whether it is paused already.

        Raises:
            NotFound, Conflict (it is finished, being cancelled, or a create-pr).
        """
        reply = check_done(await self._store.pause(f"{tenant}/{task}"), "paused")
        fault_point("pause_stored")
        return reply.word == "ok" and reply.rest[0] == State.PAUSED

    async def resume(self, tenant: Tenant, task: str) -> State:
        """
        Put a paused task back into its queue; the state it is in now.

        Raises:
            NotFound, Conflict (it is not paused).
        """
        reply = check_done(await self._store.resume(f"{tenant}/{task}"), "resumed")
        return State(reply.rest[0])

    async def direct(self, tenant: Tenant, task: str, text: str) -> Directed:
        """
        Say *text* to the agent while it runs, or, where it takes no input, once its run has ended.

        Raises:
            NotFound, Conflict (it is finished or being cancelled, or too many directives wait).
        """
        directive = str(uuid.uuid4())  # as Claude Code wants ids of messages
        gates = self._gates(await self.get(tenant, task))
        reply = await self._store.direct(f"{tenant}/{task}", directive, text, gates)
        if reply.word == "full":
            raise Conflict("Too many directives wait already.", code="too_many_directives")
        check_done(reply, "directed")
        state, delivery = reply.rest
        return Directed(directive=directive, status=State(state), delivery=delivery)

    async def delete(self, tenant: Tenant, task: str) -> None:
        """Erase a finished task from Redis; homes erase their part. Raises NotFound, Conflict."""
        check_done(await self._store.delete(f"{tenant}/{task}"), "deleted")

    async def diff(
        self, tenant: Tenant, task: str, iteration: int | None = None
    ) -> tuple[StoredDiff, bool]:
        """
        The work up to the end of *iteration* (default: the newest that has work).

        The flag says whether it is complete: a diff too big for Redis is asked of its home, and
        when that is away only its head is known.

        Raises:
            NotFound: no such task, or no work there.
            Unavailable: only a home that is away has it.
        """
        known = await self.get(tenant, task, with_iterations=True)
        return await read_work(self._store, self._ops, known, iteration)

    async def stored_diff(self, tenant: Tenant, task: str, iteration: int) -> StoredDiff | None:
        """What Redis has of an iteration's diff; None when it has nothing. Asks no home."""
        packed = await self._store.stored_diff(tenant, task, iteration)
        return None if packed is None else await asyncio.to_thread(diffstore.unpack, packed)

    async def sealed_token(self, tenant: Tenant, task: str) -> str | None:
        """The encrypted record of the token that the task brought; for workers, who open it."""
        return await self._store.sealed_token(tenant, task)

    async def events(
        self, tenant: Tenant, task: str, *, after: int, limit: int
    ) -> Sequence[StoredEvent]:
        """Events with a number above *after*, at most *limit*. Raises NotFound."""
        await self.get(tenant, task)
        return await self._events.read(tenant, task, after=after, limit=limit)

    async def backlog(self) -> Backlog:
        """What presses on the deployment, of all tenants."""
        return await self._store.backlog()

    async def stats(self, tenant: Tenant) -> Stats:
        """A tenant's counts and usage of today, and the queue that all tenants share."""
        return await read_stats(self._store, tenant, self._clock.now())

    def is_over(self, task: Task, last_sent: int) -> bool:
        """Whether nothing more will come: it is finished, and everything up to the end was sent."""
        return task.status in FINISHED and last_sent >= task.last_event

    def _gates(self, task: Task | TaskSpec) -> str:
        return encode_gates(self._policy.gates(run_facts(task)))
