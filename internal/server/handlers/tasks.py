"""Tasks: create, list, read, instruct, cancel, retry, delete, diff."""

from __future__ import annotations

import json
import re

from starlette.requests import Request
from starlette.responses import Response

from internal.errors import Invalid, NotFound
from internal.server.accept import accept
from internal.server.body import read_json
from internal.server.deps import ServerDeps
from internal.server.document import (
    diff_document,
    json_response,
    receipt,
    run_document,
    task_document,
)
from internal.server.query import (
    Query,
    page_limit,
    read_choice,
    read_cursor,
    read_number,
    task_filter,
)
from internal.server.request import caller_of, expect_nothing, task_id_of, tenant_of
from internal.server.schema import CreateTask, Directive, Instruct
from internal.task.state import FINISHED, State
from internal.task.submission import request_hash

_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,128}\Z")
_PATCH_TYPES = ("text/x-diff", "text/x-patch")


class TaskHandlers:
    """The handlers, over the task service."""

    def __init__(self, deps: ServerDeps) -> None:
        self._tasks = deps.tasks
        self._hub = deps.hub
        self._rules = deps.rules
        self._audit = deps.audit
        self._keys = deps.keys
        self._door = deps.door

    async def create(self, request: Request) -> Response:
        """201 with a receipt; with `wait` 200 or 202 with the task; 200 when it was known."""
        Query(request).finish()
        key = _idempotency_key(request)
        body = await read_json(request, CreateTask, self._rules)
        tenant = tenant_of(request)
        spec = body.spec(tenant, self._rules)
        submitted = await accept(
            self._tasks,
            self._keys,
            self._rules,
            self._door,
            spec,
            idempotency_key=key,
            request_hash=_hash(body) if key else "",
        )
        task = submitted.task
        if submitted.joined or not submitted.repeated:
            act = "task.join" if submitted.joined else "task.submit"
            await self._audit.record(caller_of(request), act, task.id)
        location = {"Location": f"{_base(request)}/tasks/{task.id}"}
        if body.wait:
            await self._hub.wait_finished(tenant, task.id, body.wait)
            task = await self._tasks.get(tenant, task.id)
            status = 200 if task.status in FINISHED else 202
            return json_response(task_document(task), status, location)
        if submitted.repeated:
            return json_response(receipt(task), 200, location)
        return json_response(receipt(task, "pending"), 201, location)

    async def list(self, request: Request) -> Response:
        """Tasks that match, newest first."""
        query = Query(request)
        wanted = task_filter(query, self._rules.agents)
        limit = page_limit(query)
        cursor = query.one("cursor", read_cursor)
        query.finish()
        page = await self._tasks.list(tenant_of(request), wanted, limit=limit, cursor=cursor)
        documents = [task_document(task) for task in page.tasks]
        return json_response({"tasks": documents, "next_cursor": page.next_cursor})

    async def read(self, request: Request) -> Response:
        """One task, with its iterations when asked for."""
        query = Query(request)
        include = query.one("include", read_choice(["iterations"]))
        query.finish()
        task = await self._tasks.get(
            tenant_of(request), task_id_of(request), with_iterations=include is not None
        )
        return json_response(task_document(task))

    async def instruct(self, request: Request) -> Response:
        """Queue a follow-up."""
        Query(request).finish()
        body = await read_json(request, Instruct)
        await self._door.check()
        task = await self._tasks.instruct(
            tenant_of(request), task_id_of(request), body.prompt, body.changes(self._rules)
        )
        await self._audit.record(caller_of(request), "task.instruct", task.id)
        return json_response(
            {"id": task.id, "status": "awaiting_instruction", "iteration": task.iteration}
        )

    async def retry(self, request: Request) -> Response:
        """Queue the failed iteration again."""
        await expect_nothing(request)
        await self._door.check()
        task = await self._tasks.retry(tenant_of(request), task_id_of(request))
        await self._audit.record(caller_of(request), "task.retry", task.id)
        return json_response(run_document(task))

    async def cancel(self, request: Request) -> Response:
        """End what is queued, or ask the worker of what runs."""
        await expect_nothing(request)
        task = task_id_of(request)
        state = await self._tasks.cancel(tenant_of(request), task)
        await self._audit.record(caller_of(request), "task.cancel", task)
        status, message = "cancelling", "The agent is being ended."
        if state is not None:
            status, message = state.value, "The task was taken out of the queue."
        return json_response({"id": task, "status": status, "message": message})

    async def pause(self, request: Request) -> Response:
        """Pause what is queued, or ask the worker of what runs."""
        await expect_nothing(request)
        task = task_id_of(request)
        is_paused = await self._tasks.pause(tenant_of(request), task)
        await self._audit.record(caller_of(request), "task.pause", task)
        status, message = "pausing", "The agent is being interrupted."
        if is_paused:
            status, message = State.PAUSED.value, "The task is paused."
        return json_response({"id": task, "status": status, "message": message})

    async def resume(self, request: Request) -> Response:
        """Put a paused task back into its queue."""
        await expect_nothing(request)
        task = task_id_of(request)
        state = await self._tasks.resume(tenant_of(request), task)
        await self._audit.record(caller_of(request), "task.resume", task)
        return json_response({"id": task, "status": state})

    async def direct(self, request: Request) -> Response:
        """Say something to the agent while it runs, or as the next instruction."""
        Query(request).finish()
        body = await read_json(request, Directive)
        task = task_id_of(request)
        taken = await self._tasks.direct(tenant_of(request), task, body.text)
        await self._audit.record(caller_of(request), "task.directive", task)
        told = {"id": task, "status": taken.status, "delivery": taken.delivery}
        return json_response({**told, "directive_id": taken.directive})

    async def delete(self, request: Request) -> Response:
        """Erase a finished task."""
        await expect_nothing(request)
        task = task_id_of(request)
        await self._tasks.delete(tenant_of(request), task)
        await self._audit.record(caller_of(request), "task.delete", task)
        return Response(status_code=204)

    async def diff(self, request: Request) -> Response:
        """The work as JSON, or as a patch when `Accept` asks for one."""
        query = Query(request)
        iteration = query.one("iteration", read_number(1))
        query.finish()
        stored, is_complete = await self._tasks.diff(
            tenant_of(request), task_id_of(request), iteration
        )
        headers = {"Vary": "Accept"}
        if not _wants_patch(request):
            return json_response(diff_document(stored, is_complete=is_complete), headers=headers)
        if stored.withheld:
            told = "A secret of the run stands in the work, so there is no patch of it."
            raise NotFound(told, code="secret_in_diff")
        if stored.truncated or not is_complete:
            raise NotFound("The work is too large for a patch; ask for it as JSON.")
        return Response(stored.diff.patch, 200, headers, "text/x-diff; charset=utf-8")


def _base(request: Request) -> str:
    root: str = request.scope["root_path"]
    return root


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.match(key):
        problem = "must be 1 to 128 printable ASCII characters"
        raise Invalid(f"Idempotency-Key {problem}.", fields={"Idempotency-Key": problem})
    return key


def _hash(body: CreateTask) -> str:
    """Equal for requests that mean the same; how long the client waits is no part of it."""
    members = body.model_dump(mode="json", exclude={"wait"}, exclude_none=True)
    return request_hash(json.dumps(members, sort_keys=True).encode())


def _wants_patch(request: Request) -> bool:
    """Whether `Accept` prefers a patch over JSON."""
    weights: dict[str, float] = {}
    for part in request.headers.get("accept", "").split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            weights[kind] = float(weight)
        except ValueError:
            weights[kind] = 0
    patch = max(weights.get(kind, 0) for kind in _PATCH_TYPES)
    return patch > 0 and patch >= weights.get("application/json", 0)
