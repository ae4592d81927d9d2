"""Tasks for benchmarks that need no HTTP: made by the service itself."""

from __future__ import annotations

import asyncio

from benchmarks.scale import bounded
from codeforge.wiring.core import Core
from internal.task.model import DEFAULT_TENANT, Task, TaskConfig, TaskSpec

_AT_ONCE = 16


_PROMPT = "Add a test for the parser of the configuration file."


async def submit(core: Core, prompt: str = _PROMPT) -> Task:
    """One task that wants a webhook, so that its finish writes to the outbox."""
    spec = TaskSpec(
        tenant=DEFAULT_TENANT,
        repo_url="https://git.example.org/team/service.git",
        prompt=prompt,
        config=TaskConfig(cli="demo", timeout_seconds=300, silence_seconds=600),
        callback_url="https://hook.example.org/codeforge",
    )
    return (await core.service.submit(spec)).task


async def submit_many(core: Core, count: int, *, seconds: float) -> int:
    """Up to *count* tasks within *seconds*, some at once; how many there are."""
    made = 0
    left = bounded(count, seconds)

    async def some() -> None:
        nonlocal made
        for _ in left:
            await submit(core)
            made += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(some())
    return made
