"""What a new task is stored as: the members of its hash, its secrets sealed."""

from __future__ import annotations

import hashlib

from internal.crypto.box import Box
from internal.mcp.model import encode_servers
from internal.task.codec import EMPTY_USAGE, encode_config
from internal.task.event import encode
from internal.task.model import TaskSpec
from internal.task.state import State
from internal.telemetry.tracing import current_trace_id, current_traceparent


def new_task_fields(
    spec: TaskSpec, task: str, box: Box, *, gates: str, state_ttl_seconds: int, public_url: str
) -> dict[str, str | int]:
    """ENQUEUE's fields for the task that *spec* asks for; *gates* as `encode_gates` has them."""
    fields: dict[str, str | int] = {
        "status": State.PENDING.value,
        "kind": "create",
        "iteration": 1,
        "repo_url": spec.repo_url,
        "prompt": spec.prompt,
        "priority": spec.priority.value,
        "labels": encode(dict(spec.labels)),
        "config": encode_config(spec.config),
        "gates": gates,
        "usage": EMPTY_USAGE,
        "no_usage": EMPTY_USAGE,
        "usage_total": EMPTY_USAGE,
        "retain": state_ttl_seconds,
        "task_url": f"{public_url}/api/v1/tasks/{task}",
    }
    if spec.provider_key:
        fields["provider_key"] = spec.provider_key
    if spec.callback_url:
        fields["callback_url"] = spec.callback_url
    if spec.dedup:
        fields["dedup"] = hashlib.sha256(spec.dedup.key.encode()).hexdigest()[:32]
        fields["dedup_policy"] = spec.dedup.policy.value
    fields |= _trace_fields()
    secrets = {
        "access_token": spec.access_token,
        "ai_api_key": spec.ai_api_key,
        "mcp_servers": encode_servers(spec.mcp_servers) if spec.mcp_servers else None,
    }
    for name, secret in secrets.items():
        if secret:
            fields[name] = box.seal(spec.tenant, secret_name(task, name), 1, secret)
    return fields


def _trace_fields() -> dict[str, str]:
    """The trace of the request that queues a run, where there is one; its run goes on in it."""
    traceparent, trace_id = current_traceparent(), current_trace_id()
    if traceparent is None or trace_id is None:
        return {}
    return {"traceparent": traceparent, "trace_id": trace_id}


def secret_name(task: str, member: str) -> str:
    """The name a task's own secret is bound to in its encrypted record."""
    return f"task:{task}:{member}"


def request_hash(body: bytes) -> str:
    """What tells a repeated request from another one under the same Idempotency-Key."""
    return hashlib.sha256(body).hexdigest()
