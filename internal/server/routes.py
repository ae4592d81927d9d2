"""
Every route in one table, and the routers made of it; api/openapi.yaml is compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from internal.access.model import Scope
from internal.control.rate import RateLimiter
from internal.errors import NotFound
from internal.server.deps import ServerDeps
from internal.server.endpoint import Endpoint, Handler
from internal.server.handlers.agents import AgentHandlers
from internal.server.handlers.audit import AuditHandlers
from internal.server.handlers.control import ControlHandlers
from internal.server.handlers.events import EventHandlers
from internal.server.handlers.health import HealthHandlers
from internal.server.handlers.keys import KeyHandlers
from internal.server.handlers.letters import LetterHandlers
from internal.server.handlers.mcp import McpHandlers
from internal.server.handlers.pull_requests import PullRequestHandlers
from internal.server.handlers.spec import docs_file, docs_page, openapi_file
from internal.server.handlers.tasks import TaskHandlers
from internal.server.handlers.tokens import TokenHandlers
from internal.server.handlers.webhooks import WebhookHandlers
from internal.server.handlers.workspaces import WorkspaceHandlers
from internal.server.middleware.auth import Auth, needs
from internal.server.middleware.bodylimit import BodyLimit
from internal.server.middleware.ratelimit import limited
from internal.server.middleware.timeouts import Timeouts
from internal.server.middleware.tracing import Tracing

API = "/api/v1"

_SLACK_SECONDS = 30
"""What a request may take beside the time its client chose to wait."""


@dataclass(frozen=True, slots=True)
class Path:
    """
    One row of the table. A stream has no limit of time.

    `scope` is what a token needs for every method of the row. Empty: `read` to read, and
    `write_scope` for everything else. `limited`: calls are counted against the rate limit; where
    a row both reads and writes, those that write.
    """

    template: str
    handlers: Mapping[str, Handler]
    is_stream: bool = False
    scope: str = ""
    write_scope: str = Scope.TASKS
    limited: bool = False

    def scope_of(self, method: str) -> Scope:
        """What a token needs to call *method*."""
        return Scope(self.scope or (Scope.READ if method == "GET" else self.write_scope))

    @property
    def window(self) -> str:
        """What the row's calls are counted under: its last word (`tasks`, `instruct`)."""
        return self.template.rpartition("/")[2]

    def limited_methods(self) -> frozenset[str]:
        """The methods that the rate limit counts."""
        if not self.limited:
            return frozenset()
        return frozenset(self.handlers) - {"GET"} or frozenset(self.handlers)


def api_paths(deps: ServerDeps) -> list[Path]:
    """All rows under `/api/v1`, the busiest first."""
    tasks, events, agents = TaskHandlers(deps), EventHandlers(deps), AgentHandlers(deps)
    pulls, keys = PullRequestHandlers(deps), KeyHandlers(deps)
    tokens, audit = TokenHandlers(deps), AuditHandlers(deps)
    hooks = WebhookHandlers(deps)
    one_hook = {"GET": hooks.read, "PATCH": hooks.change, "DELETE": hooks.delete}
    mcp, workspaces = McpHandlers(deps), WorkspaceHandlers(deps)
    control = ControlHandlers(deps)
    letters = LetterHandlers(deps)
    admin = Scope.ADMIN
    return [
        Path("/tasks", {"POST": tasks.create, "GET": tasks.list}, limited=True),
        Path("/tasks/{task_id}", {"GET": tasks.read, "DELETE": tasks.delete}),
        Path("/tasks/{task_id}/stream", {"GET": events.stream}, is_stream=True),
        Path("/tasks/{task_id}/events", {"GET": events.page}),
        Path("/tasks/{task_id}/instruct", {"POST": tasks.instruct}, limited=True),
        Path("/tasks/{task_id}/cancel", {"POST": tasks.cancel}),
        Path("/tasks/{task_id}/pause", {"POST": tasks.pause}),
        Path("/tasks/{task_id}/directive", {"POST": tasks.direct}, limited=True),
        Path("/tasks/{task_id}/resume", {"POST": tasks.resume}),
        Path("/tasks/{task_id}/retry", {"POST": tasks.retry}, limited=True),
        Path("/tasks/{task_id}/diff", {"GET": tasks.diff}),
        Path("/tasks/{task_id}/create-pr", {"POST": pulls.create}, limited=True),
        Path("/tasks/{task_id}/pr", {"GET": pulls.read}, limited=True),
        Path("/keys", {"POST": keys.create, "GET": keys.list}, scope=admin),
        Path("/keys/{name}", {"GET": keys.read, "DELETE": keys.delete}, scope=admin),
        Path("/keys/{name}/verify", {"GET": keys.verify}, scope=admin, limited=True),
        Path("/mcp/servers", {"POST": mcp.add, "GET": mcp.list}, write_scope=admin),
        Path("/mcp/servers/{name}", {"DELETE": mcp.remove}, scope=admin),
        Path("/workspaces", {"GET": workspaces.list}),
        Path("/workspaces/{task_id}", {"DELETE": workspaces.delete}, scope=admin),
        Path("/agents", {"GET": agents.agents}),
        Path("/workers", {"GET": agents.workers}),
        Path("/stats", {"GET": agents.stats}),
        Path("/tokens", {"GET": tokens.list, "POST": tokens.create}, scope=admin),
        Path("/tokens/{name}", {"DELETE": tokens.revoke}, scope=admin),
        Path("/audit", {"GET": audit.list}, scope=admin),
        Path("/control", {"GET": control.show}, scope=admin),
        Path("/control/release", {"POST": control.release}, scope=admin),
        Path("/dead-letters", {"GET": letters.list, "DELETE": letters.discard_many}, scope=admin),
        Path("/dead-letters/requeue", {"POST": letters.requeue_many}, scope=admin),
        Path("/dead-letters/{id}", {"DELETE": letters.discard}, scope=admin),
        Path("/dead-letters/{id}/requeue", {"POST": letters.requeue}, scope=admin),
        Path("/webhooks/endpoints", {"GET": hooks.list, "POST": hooks.create}, scope=admin),
        Path("/webhooks/endpoints/{id}", one_hook, scope=admin),
        Path("/webhooks/endpoints/{id}/rotate-secret", {"POST": hooks.rotate}, scope=admin),
        Path("/webhooks/endpoints/{id}/test", {"POST": hooks.test}, scope=admin, limited=True),
        Path("/webhooks/deliveries", {"GET": hooks.deliveries}, scope=admin),
        Path(
            "/webhooks/deliveries/{id}/redeliver",
            {"POST": hooks.redeliver},
            scope=admin,
            limited=True,
        ),
    ]


def public_paths(deps: ServerDeps) -> list[Path]:
    """All rows that need no token."""
    health = HealthHandlers(deps)
    return [
        Path("/health", {"GET": health.health}),
        Path("/ready", {"GET": health.ready}),
        Path("/metrics", {"GET": health.metrics}),
        Path("/api/docs", {"GET": docs_page}),
        Path("/api/docs/openapi.yaml", {"GET": openapi_file}),
        Path("/api/docs/{name}", {"GET": docs_file}),
    ]


def build_router(deps: ServerDeps) -> ASGIApp:
    """The application behind the middleware that every request passes."""
    seconds = max(deps.rules.max_wait_seconds, deps.rules.pr_wait_seconds) + _SLACK_SECONDS
    api: ASGIApp = _router([_route(path, API, seconds, deps.limiter) for path in api_paths(deps)])
    api = BodyLimit(_WithoutLastSlash(api), max_bytes=deps.max_body_bytes)
    api = Auth(api, callers=deps.callers)
    public = [_route(path, "", seconds) for path in public_paths(deps)]
    return _router([Mount(API, api), *public])


def _router(routes: Sequence[BaseRoute]) -> Router:
    return Router(routes, redirect_slashes=False, default=_not_found)


def _route(path: Path, prefix: str, seconds: float, limiter: RateLimiter | None = None) -> Route:
    checks = {method: [needs(path.scope_of(method))] for method in path.handlers if prefix}
    if limiter is not None:
        for method in path.limited_methods():
            checks[method].append(limited(limiter, path.window))
    template = f"{prefix}{path.template}"
    app: ASGIApp = Endpoint(template, path.handlers, checks)
    if not path.is_stream:
        app = Timeouts(Tracing(app, template=template) if prefix else app, seconds=seconds)
    return Route(path.template, app)


class _WithoutLastSlash:
    """`/tasks/` is `/tasks`: one slash at the end of a path makes no difference."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if path.endswith("/") and not path.endswith("//"):
            scope["path"] = path[:-1]
        await self._app(scope, receive, send)


async def _not_found(scope: AsgiScope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        raise NotFound("There is no such path.")
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000, "reason": ""})
