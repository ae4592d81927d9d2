"""
Between a task's Redis hash and the dataclasses: the one place that knows the field names.

Everything in Redis is text; nested values are JSON. The scripts read some of these fields too
(internal/task/lua/lib).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Container, Mapping
from datetime import datetime
from typing import Any

from internal.agent.model import Usage
from internal.clock import from_millis
from internal.git.model import Changes
from internal.mcp.model import ShownServer
from internal.task.event import encode
from internal.task.model import (
    Attempt,
    Failure,
    Iteration,
    Permit,
    Priority,
    Reason,
    Task,
    TaskConfig,
    TaskId,
    Tenant,
    Wait,
    Work,
)
from internal.task.pullrequest import PullRequestOptions
from internal.task.state import CLAIMED, State

Hash = Mapping[str, str]

# Read by name: `asdict` copies in depth, and these are flat.
_USAGE = tuple(f.name for f in dataclasses.fields(Usage) if f.name != "unpriced_tokens")
"""What `usage` has in Redis; unpriced tokens are a field beside it, which older servers ignore."""
_CHANGES = tuple(field.name for field in dataclasses.fields(Changes))
_WORK = tuple(field.name for field in dataclasses.fields(Work))
_CONFIG = frozenset(field.name for field in dataclasses.fields(TaskConfig))


def decode_task(fields: Hash, iterations: Hash | None = None) -> Task:
    """A task from its hash and, when asked for, the hash of its iterations."""
    return Task(
        id=TaskId(fields["id"]),
        tenant=Tenant(fields["tenant"]),
        status=State(fields["status"]),
        repo_url=fields["repo_url"],
        prompt=fields["prompt"],
        iteration=int(fields["iteration"]),
        created_at=from_millis(int(fields["created_at"])),
        priority=Priority(fields["priority"]),
        labels=json.loads(fields["labels"]),
        config=decode_config(fields["config"]),
        usage=decode_usage(fields.get("usage"), fields.get("unpriced")),
        usage_total=decode_usage(fields.get("usage_total"), fields.get("unpriced_total")),
        provider_key=fields.get("provider_key"),
        callback_url=fields.get("callback_url"),
        result=fields.get("result"),
        failure=decode_failure(fields.get("failure")),
        changes=decode_changes(fields.get("changes")),
        current_prompt=fields.get("current_prompt"),
        branch=fields.get("branch"),
        base_commit=fields.get("base_commit"),
        pr_number=_int(fields.get("pr_number")),
        pr_url=fields.get("pr_url"),
        pr_error=fields.get("pr_error"),
        pr_reason=fields.get("pr_reason"),
        pr_heads=tuple(fields.get("pr_heads", "").split()),
        trace_id=fields.get("trace_id"),
        wait=_wait(fields),
        permit=_permit(fields),
        cancel_requested="cancel" in fields,
        pause_requested="pause" in fields and State(fields["status"]) in CLAIMED,
        started_at=_time(fields.get("started_at")),
        finished_at=_time(fields.get("finished_at")),
        attempt=int(fields.get("attempt", 0)),
        lost=int(fields.get("lost", 0)),
        retries=int(fields.get("retries", 0)),
        quota_waits=int(fields.get("quota_waits", 0)),
        attempts=tuple(map(_attempt, fields.get("attempts", "").splitlines())),
        isolation=fields.get("isolation"),
        key_source=fields.get("key_source") or None,
        last_event=int(fields.get("seq", 0)),
        events_trimmed=int(fields.get("events_trimmed", 0)),
        iterations=None if iterations is None else decode_iterations(iterations, fields),
    )


def decode_iterations(fields: Hash, task: Hash) -> tuple[Iteration, ...]:
    """
    All iterations, oldest first, from fields `<number>.<name>`.

    Until another run begins, the document of the *task* speaks for the newest one.
    """
    rows: dict[int, dict[str, str]] = {}
    for name, value in fields.items():
        number, _, field = name.partition(".")
        rows.setdefault(int(number), {})[field] = value
    newest = int(task["iteration"])
    if newest in rows:
        rows[newest] = {**_of_document(task), **rows[newest]}
    return tuple(_iteration(number, rows[number]) for number in sorted(rows))


def _of_document(task: Hash) -> dict[str, str]:
    names = ("status", "result", "failure", "usage", "unpriced", "started_at")
    fields = {name: task[name] for name in names if name in task}
    if "finished_at" in task:
        fields["ended_at"] = task["finished_at"]
    return fields


def _iteration(number: int, fields: Hash) -> Iteration:
    return Iteration(
        number=number,
        status=State(fields["status"]),
        prompt=fields["prompt"],
        result=fields.get("result"),
        failure=decode_failure(fields.get("failure")),
        changes=decode_changes(fields.get("changes")),
        usage=decode_usage(fields.get("usage"), fields.get("unpriced")),
        work=decode_work(fields.get("work")),
        started_at=_time(fields.get("started_at")),
        ended_at=_time(fields.get("ended_at")),
    )


def decode_usage(text: str | None, unpriced_tokens: str | None = None) -> Usage:
    """Members that a newer version wrote are left out, here and below."""
    members = _known(json.loads(text or "{}"), _USAGE)
    return Usage(**members, unpriced_tokens=int(unpriced_tokens or 0))


def _known(members: dict[str, Any], names: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name in names}


def decode_changes(text: str | None) -> Changes | None:
    if not text:
        return None
    members: dict[str, Any] = json.loads(text)
    return Changes(**_known(members, _CHANGES))


def decode_failure(text: str | None) -> Failure | None:
    if not text:
        return None
    members: dict[str, Any] = json.loads(text)
    return Failure(
        reason=Reason(members["reason"]),
        message=members["message"],
        retryable=members["retryable"],
        detail=members.get("detail"),
    )


def decode_config(text: str) -> TaskConfig:
    members: dict[str, Any] = json.loads(text)
    if members.get("pr") is not None:
        members["pr"] = _options(members["pr"])
    servers = tuple(map(ShownServer.of_members, members.pop("mcp_servers", ())))
    return TaskConfig(**_known(members, _CONFIG), mcp_servers=servers)


def decode_work(text: str | None) -> Work | None:
    return Work(**_known(json.loads(text), _WORK)) if text else None


def encode_usage(usage: Usage) -> str:
    """As it is stored, without unpriced tokens."""
    return encode({name: getattr(usage, name) for name in _USAGE})


EMPTY_USAGE = encode_usage(Usage())


def storable(text: str) -> str:
    """*text* without lone surrogates (from broken output), which Redis' UTF-8 does not have."""
    return text.encode("utf-8", "replace").decode("utf-8")


def encode_changes(changes: Changes | None) -> str:
    """As the API shows it, with `diff_stats`; "" for None."""
    if changes is None:
        return ""
    members = {name: getattr(changes, name) for name in _CHANGES}
    return encode({**members, "diff_stats": changes.diff_stats})


def encode_failure(failure: Failure | None) -> str:
    if failure is None:
        return ""
    return encode(
        {
            "reason": failure.reason,
            "message": failure.message,
            "retryable": failure.retryable,
            "detail": dict(failure.detail) if failure.detail else None,
        }
    )


def encode_work(work: Work | None) -> str:
    return "" if work is None else encode({name: getattr(work, name) for name in _WORK})


def encode_config(config: TaskConfig) -> str:
    """Without what is not set, so that an older worker can read what has nothing new in it."""
    members = {**dataclasses.asdict(config), "pr": config.pr and config.pr.said()}
    return encode({name: value for name, value in members.items() if value is not None})


def encode_options(options: PullRequestOptions) -> str:
    """As JSON; equal options have equal texts."""
    return encode(options.said())


def decode_options(text: str | None) -> PullRequestOptions:
    """What `encode_options` made; nothing was chosen when there is no text."""
    return _options(json.loads(text or "{}"))


def _attempt(line: str) -> Attempt:
    members: dict[str, Any] = json.loads(line)
    started, ended = members["started_at"], members["ended_at"]
    return Attempt(
        number=members["attempt"],
        worker=members["worker"],
        started_at=None if started is None else from_millis(started),
        ended_at=from_millis(ended),
        reason=members["reason"],
    )


def _options(members: dict[str, Any]) -> PullRequestOptions:
    for name in ("labels", "reviewers"):
        if name in members:
            members[name] = tuple(members[name])
    return PullRequestOptions(**members)


def _wait(fields: Hash) -> Wait | None:
    if "wait_reason" not in fields:
        return None
    where, _, gate = fields.get("at", "").partition(" ")
    if where == "list":  # in its place, while its whole tenant waits
        gate = f"tenant:{fields['tenant']}"
    return Wait(
        reason=fields["wait_reason"],
        until=_time(fields.get("wait_until")),
        gate=gate if where in {"gate", "list"} else None,
    )


def _permit(fields: Hash) -> Permit | None:
    """None as well when a script of a release without permits has claimed it since."""
    token, _, deadline = fields.get("permit", "").partition(" ")
    if not token or token != fields.get("token"):
        return None
    lines = (fields.get("gates", "") + fields.get("admitted", "")).splitlines()
    return Permit(
        attempt=int(fields["attempt"]),
        granted_at=from_millis(int(fields["granted_at"])),
        deadline=_time(deadline or None),
        gates=tuple(line.split(" ", 2)[2] for line in lines if " " in line),
    )


def _time(millis: str | None) -> datetime | None:
    return None if millis is None else from_millis(int(millis))


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)
