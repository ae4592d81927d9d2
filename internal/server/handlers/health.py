"""Whether the server lives (`/health`), takes traffic (`/ready`), and its numbers (`/metrics`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import structlog
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from internal.errors import CodeforgeError
from internal.server.deps import ServerDeps
from internal.server.document import json_response
from internal.server.workers import Worker

log = structlog.get_logger(__name__)

_CHECK_SECONDS = 2


class HealthHandlers:
    """The handlers; none of them takes longer than a few seconds, whatever Redis does."""

    def __init__(self, deps: ServerDeps) -> None:
        self._deps = deps
        self._started = deps.clock.monotonic()

    async def health(self, request: Request) -> Response:
        """200 while Redis answers, else 503; with version, uptime, and what the workers tell."""
        workers = await self._workers()
        is_up = workers is not None
        homes = {worker.home: worker.workspace_mb for worker in workers or ()}
        body = {
            "status": "ok" if is_up else "error",
            "redis": "connected" if is_up else "disconnected",
            "version": self._deps.version,
            "uptime": go_duration(self._deps.clock.monotonic() - self._started),
            "workspace_disk_usage_mb": round(sum(homes.values()), 3),
            "isolation": _weakest(workers or ()),
        }
        return json_response(body, 200 if is_up else 503)

    async def ready(self, request: Request) -> Response:
        """503 once the process is stopping, so that a balancer looks elsewhere."""
        if self._deps.stop.is_set():
            return json_response({"status": "shutting_down"}, 503)
        return json_response({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        """All metrics in Prometheus' text format."""
        content = await self._deps.render_metrics()
        return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _workers(self) -> Sequence[Worker] | None:
        """The live workers, or None while Redis does not answer."""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._deps.check_redis()
                return await self._deps.workers.list()
        except (RedisError, CodeforgeError, OSError, TimeoutError) as error:
            log.warning("health.redis_away", error=str(error))
            return None


def _weakest(workers: Iterable[Worker]) -> str | None:
    """The isolation that every live worker has at least; None while none lives."""
    known = {worker.isolation for worker in workers}
    if not known:
        return None
    return "bwrap" if known == {"bwrap"} else "none"


def go_duration(seconds: float) -> str:
    """A duration as Go prints it, rounded to seconds: 1h2m3s, 2m0s, 3s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
