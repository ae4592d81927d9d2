"""Pull requests of tasks: make one, and how it stands."""

from __future__ import annotations

import dataclasses

from starlette.requests import Request
from starlette.responses import Response

from internal.server.body import read_json
from internal.server.deps import ServerDeps
from internal.server.document import json_response
from internal.server.query import Query
from internal.server.request import caller_of, task_id_of, tenant_of
from internal.server.schema_pulls import PullRequestBody


class PullRequestHandlers:
    """The handlers, over `Publishing`."""

    def __init__(self, deps: ServerDeps) -> None:
        self._tasks = deps.tasks
        self._publishing = deps.publishing
        self._hub = deps.hub
        self._wait_seconds = deps.rules.pr_wait_seconds
        self._audit = deps.audit

    async def create(self, request: Request) -> Response:
        """
        200 with the pull request; 202 when it is not made within `server.pr_wait`.

        The run goes on whatever becomes of this call: it only waits.
        """
        Query(request).finish()
        body = await read_json(request, PullRequestBody)
        tenant, task_id = tenant_of(request), task_id_of(request)
        await self._publishing.publish(tenant, task_id, body.options())
        await self._audit.record(caller_of(request), "task.create_pr", task_id)
        await self._hub.wait_finished(tenant, task_id, self._wait_seconds)
        task = await self._tasks.get(tenant, task_id)
        if not self._publishing.outcome(task):
            return json_response({"id": task.id, "status": task.status}, 202)
        return json_response(
            {"pr_url": task.pr_url, "pr_number": task.pr_number, "branch": task.branch}
        )

    async def read(self, request: Request) -> Response:
        """How the pull request stands at its host."""
        Query(request).finish()
        view = await self._publishing.look(tenant_of(request), task_id_of(request))
        return json_response(dataclasses.asdict(view))
