"""What handlers read off a request beside its body: who sent it, whose it is, what it names."""

from __future__ import annotations

import re

from starlette.requests import Request

from internal.access.model import Caller
from internal.errors import NotFound
from internal.server.body import read_json
from internal.server.query import Query
from internal.server.schema import Empty
from internal.task.model import Tenant

_TASK_ID = re.compile(r"[0-9a-z]{26}\Z")


def caller_of(request: Request) -> Caller:
    """Who sent this request."""
    caller: Caller = request.scope["caller"]
    return caller


def tenant_of(request: Request) -> Tenant:
    """Whose objects this request sees."""
    return Tenant(caller_of(request).tenant)


def task_id_of(request: Request) -> str:
    """The id in the path. Raises NotFound for what can be none."""
    task: str = request.path_params["task_id"]
    if not _TASK_ID.match(task):
        raise NotFound("There is no such task.")
    return task


async def expect_nothing(request: Request) -> None:
    """Refuse parameters and members: this verb takes none. Raises Invalid and what a body may."""
    Query(request).finish()
    await read_json(request, Empty)
