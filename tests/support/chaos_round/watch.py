"""Tells when tasks are finished: one look at all of them, again and again."""

from __future__ import annotations

import asyncio

from redis.exceptions import RedisError

from internal.rdb.cancellation import end_if_cancelled
from internal.task.model import Tenant
from internal.task.service import TaskService
from internal.task.state import FINISHED, State

_LOOK_SECONDS = 0.15
_AT_ONCE = 400


class Watch:
    """Any number of clients may wait for the same task."""

    def __init__(self, service: TaskService) -> None:
        self._service = service
        self._waiting: dict[tuple[str, str], asyncio.Future[State]] = {}

    async def finished(self, tenant: str, task: str) -> State:
        """The state that the task ended in, once it did."""
        made: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._waiting.setdefault((tenant, task), made))

    @property
    def unfinished(self) -> list[tuple[str, str]]:
        """Tenant and id of what is still waited for."""
        return list(self._waiting)

    async def run(self) -> None:
        """The loop; an outage is waited out."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            end_if_cancelled()
            try:
                await self._look()
            except (RedisError, OSError):
                continue

    async def _look(self) -> None:
        asked = list(self._waiting)
        for tenant in {tenant for tenant, _ in asked}:
            ids = [task for owner, task in asked if owner == tenant]
            for first in range(0, len(ids), _AT_ONCE):
                found = await self._service.states(Tenant(tenant), ids[first : first + _AT_ONCE])
                for task, state in found.items():
                    if state in FINISHED:
                        self._waiting.pop((tenant, task)).set_result(state)
