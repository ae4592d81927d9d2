"""What the deployment has: agents, workers, numbers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from internal.server.deps import ServerDeps
from internal.server.document import (
    agents_document,
    json_response,
    stats_document,
    workers_document,
)
from internal.server.query import Query
from internal.server.request import tenant_of


class AgentHandlers:
    """The handlers, over the workers' registry and the task service."""

    def __init__(self, deps: ServerDeps) -> None:
        self._deps = deps

    async def agents(self, request: Request) -> Response:
        """The whole table of agents."""
        Query(request).finish()
        rules, workers = self._deps.rules, await self._deps.workers.list()
        return json_response(agents_document(rules.agents, workers, rules.default_agent))

    async def workers(self, request: Request) -> Response:
        """All live workers."""
        Query(request).finish()
        return json_response(workers_document(await self._deps.workers.list()))

    async def stats(self, request: Request) -> Response:
        """The tenant's counts, queue and usage of today."""
        Query(request).finish()
        return json_response(stats_document(await self._deps.tasks.stats(tenant_of(request))))
