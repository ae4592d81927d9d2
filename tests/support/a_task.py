"""A task as data, for tests that look at some of its members."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from internal.agent.model import NO_USAGE
from internal.task.model import DEFAULT_TENANT, Priority, Task, TaskConfig, TaskId
from internal.task.state import State


def a_task(**members: Any) -> Task:
    """One that is being prepared for the demo agent; *members* are other than usual."""
    task = Task(
        id=TaskId("task"),
        tenant=DEFAULT_TENANT,
        status=State.CLONING,
        repo_url="https://example.com/r.git",
        prompt="say hello",
        iteration=1,
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
        priority=Priority.NORMAL,
        labels={},
        config=TaskConfig(cli="demo", timeout_seconds=60, silence_seconds=60),
        usage=NO_USAGE,
        usage_total=NO_USAGE,
    )
    return replace(task, **members)
