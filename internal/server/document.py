"""
The answers' bodies: what clients see of a task, its diff, the agents, the workers and the numbers.

Members that are not set are left out; secrets are never part of what comes in here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from starlette.responses import Response

from internal.agent.model import Usage
from internal.clock import rfc3339
from internal.git.model import Changes
from internal.mcp.model import ShownServer
from internal.server.deps import KnownAgent
from internal.server.workers import Worker
from internal.task.diffstore import StoredDiff
from internal.task.model import Failure, Iteration, Permit, Task, TaskConfig, Wait
from internal.task.stats import Stats

Json = dict[str, Any]


def json_response(
    body: Mapping[str, Any] | bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer; bytes are taken as JSON that is ready."""
    if not isinstance(body, bytes):
        body = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(body, status, headers, "application/json")


def receipt(task: Task, status: str | None = None) -> Json:
    """The short answer to a new task."""
    return {
        "id": task.id,
        "status": status or task.status,
        "created_at": rfc3339(task.created_at),
    }


def run_document(task: Task) -> Json:
    """The short answer to what began another run of a task."""
    return {"id": task.id, "status": task.status, "iteration": task.iteration}


def task_document(task: Task) -> Json:
    """The whole task, with `iterations` when they were read."""
    return set_only(
        {
            "id": task.id,
            "status": task.status,
            "repo_url": task.repo_url,
            "prompt": task.prompt,
            "iteration": task.iteration,
            "created_at": rfc3339(task.created_at),
            "labels": dict(task.labels),
            "priority": task.priority,
            "config": _config(task.config),
            "usage": _usage(task.usage),
            "usage_total": _usage(task.usage_total),
            "provider_key": task.provider_key,
            "callback_url": task.callback_url,
            "result": task.result,
            **_failure_members(task.failure),
            "changes_summary": _changes(task.changes),
            "current_prompt": task.current_prompt,
            "branch": task.branch,
            "base_commit": task.base_commit,
            "pr_number": task.pr_number,
            "pr_url": task.pr_url,
            "pr_error": task.pr_error,
            "trace_id": task.trace_id,
            "wait": task.wait and _wait(task.wait),
            "permit": task.permit and _permit(task.permit),
            "cancel_requested": task.cancel_requested or None,
            "pause_requested": task.pause_requested or None,
            "started_at": time_or_none(task.started_at),
            "finished_at": time_or_none(task.finished_at),
            "attempt": task.attempt or None,
            "isolation": task.isolation,
            "key_source": task.key_source,
            "iterations": task.iterations and [_iteration(row) for row in task.iterations],
        }
    )


def _wait(wait: Wait) -> Json:
    gate = {"gate": wait.gate} if wait.gate else {}
    return {"reason": wait.reason, "until": time_or_none(wait.until), **gate}


def _permit(permit: Permit) -> Json:
    return {
        "attempt": permit.attempt,
        "granted_at": rfc3339(permit.granted_at),
        "deadline": time_or_none(permit.deadline),
        "gates": list(permit.gates),
    }


def diff_document(stored: StoredDiff, *, is_complete: bool) -> Json:
    """The work of a task, file by file."""
    files = stored.diff.files
    return {
        "base": stored.diff.base,
        "head": stored.diff.head,
        "files": [dataclasses.asdict(file) for file in files],
        "totals": {
            "files": stored.diff.changes.files,
            "additions": stored.diff.changes.insertions,
            "deletions": stored.diff.changes.deletions,
        },
        "truncated": stored.truncated or not is_complete,
    }


def agents_document(
    known: Mapping[str, KnownAgent], workers: Iterable[Worker], default: str
) -> Json:
    """The whole agent table; available is what a live worker can run."""
    live = list(workers)
    return {"agents": [_agent(name, known[name], live, name == default) for name in sorted(known)]}


def workers_document(workers: Iterable[Worker]) -> Json:
    """All live workers."""
    return {
        "workers": [
            {
                "id": worker.id,
                "home": worker.home,
                "host": worker.host,
                "slots": worker.slots,
                "busy": worker.busy,
                "version": worker.version,
                "isolation": worker.isolation,
                "isolation_reason": worker.isolation_reason,
                "last_seen": rfc3339(worker.last_seen),
            }
            for worker in workers
        ]
    }


def stats_document(stats: Stats) -> Json:
    """The tenant's numbers."""
    return {
        "tasks": {state.value: count for state, count in stats.tasks.items()},
        "queue": {
            "depth": stats.queue_depth,
            "oldest_seconds": round(stats.queue_oldest_seconds, 3),
        },
        "usage_today": {
            "input_tokens": stats.input_tokens,
            "output_tokens": stats.output_tokens,
            "cost_usd": stats.cost_usd,
            "unpriced_tokens": stats.unpriced_tokens,
        },
    }


def _config(config: TaskConfig) -> Json:
    members = dataclasses.asdict(config)
    members["mcp_servers"] = [mcp_server(server) for server in config.mcp_servers] or None
    members["auto_create_pr"] = config.auto_create_pr or None
    members["pr"] = config.pr and config.pr.said()
    return set_only(members)


def mcp_server(server: ShownServer) -> Json:
    """An MCP server, without the values of its variables and headers."""
    return {name: value for name, value in dataclasses.asdict(server).items() if value}


def _iteration(row: Iteration) -> Json:
    return set_only(
        {
            "number": row.number,
            "status": row.status,
            "prompt": row.prompt,
            "result": row.result,
            **_failure_members(row.failure),
            "changes": _changes(row.changes),
            "usage": _usage(row.usage),
            "started_at": time_or_none(row.started_at),
            "ended_at": time_or_none(row.ended_at),
        }
    )


def _agent(name: str, known: KnownAgent, workers: list[Worker], is_default: bool) -> Json:
    probes = [worker.agents[name] for worker in workers if name in worker.agents]
    best = next((probe for probe in probes if probe.available), None)
    reason = None
    if not known.built:
        reason = "comes in a later version"
    elif best is None:
        reason = next((probe.reason for probe in probes if probe.reason), "no live worker has it")
    return {
        "name": name,
        "available": known.built and best is not None,
        "version": best.version if best else None,
        "reason": reason,
        "capabilities": dataclasses.asdict(known.capabilities),
        "default": is_default,
    }


def _usage(usage: Usage) -> Json:
    return usage.members()


def _failure_members(failure: Failure | None) -> Json:
    if failure is None:
        return {}
    return {
        "error": failure.message,
        "failure": {
            "reason": failure.reason,
            "message": failure.message,
            "retryable": failure.retryable,
            "detail": failure.detail,
        },
    }


def _changes(changes: Changes | None) -> Json | None:
    if changes is None:
        return None
    return {**dataclasses.asdict(changes), "diff_stats": changes.diff_stats}


def time_or_none(moment: datetime | None) -> str | None:
    """A time as it is shown, or None where there is none."""
    return None if moment is None else rfc3339(moment)


def set_only(members: Mapping[str, Any]) -> Json:
    """Without the members that are not set."""
    return {name: value for name, value in members.items() if value is not None}
