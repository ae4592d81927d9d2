"""What a policy is told of a task."""

from __future__ import annotations

from internal.control.policy import RunFacts
from internal.git.remote import parse_remote
from internal.task.model import Task, TaskSpec


def run_facts(task: Task | TaskSpec) -> RunFacts:
    """The facts of the next run of *task*."""
    return RunFacts(
        tenant=task.tenant,
        repo_key=parse_remote(task.repo_url).key,
        agent=task.config.cli,
        labels=task.labels,
        priority=task.priority.value,
    )
