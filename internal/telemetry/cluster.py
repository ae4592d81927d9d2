"""
Metrics of the whole deployment, as tables: what Redis counts, and what its queues show right now.

Labels are few words of ours (status, reason, agent, lane), never a task, a repository or a tenant:
each pair is a time series for ever. docs/operations.md is compared with these tables by a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from internal.telemetry.buckets import CLONE, DURATION, QUEUE_WAIT


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSnapshot:
    """
    The deployment at one moment. `counters` is the counters hash: `<name>:<labels...>`, and for a
    histogram `<name>:<label>:<upper bound|inf|sum>`. Ages are seconds, 0 when there is nothing.
    """

    counters: Mapping[str, str]
    tasks_in_progress: int
    queue_depth: int
    queue_oldest_seconds: float
    workers_active: int
    workers_total: int
    worker_processes: int
    webhook_backlog: int
    webhook_overdue_seconds: float
    dead_letters: int
    workspace_bytes: float
    homes_short_of_disk: int
    levels: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """How many scopes of a kind have which level of escalation."""
    open_breakers: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many breakers of a class are not closed."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One number of the snapshot."""

    name: str
    question: str
    value: Callable[[ClusterSnapshot], float]


@dataclass(frozen=True, slots=True)
class Counter:
    """`counted` is the name in Redis; what is in `always` is shown although it never happened."""

    name: str
    question: str
    counted: str
    labels: tuple[str, ...]
    always: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Histogram:
    """As `Counter`, with `bounds` in seconds."""

    name: str
    question: str
    counted: str
    label: str
    bounds: tuple[float, ...]
    always: tuple[str, ...] = ()


GAUGES = (
    Gauge(
        "codeforge_tasks_in_progress",
        "Tasks leased to a worker: how much runs?",
        lambda now: now.tasks_in_progress,
    ),
    Gauge(
        "codeforge_queue_depth",
        "Tasks that want a worker, waiting and due: how many workers are missing?",
        lambda now: now.queue_depth,
    ),
    Gauge(
        "codeforge_queue_oldest_seconds",
        "Seconds since the oldest of them was queued: does everybody get a turn?",
        lambda now: now.queue_oldest_seconds,
    ),
    Gauge(
        "codeforge_workers_active",
        "Worker slots in use: how busy are we?",
        lambda now: now.workers_active,
    ),
    Gauge(
        "codeforge_workers_total",
        "Worker slots of live workers: how much could run?",
        lambda now: now.workers_total,
    ),
    Gauge(
        "codeforge_worker_processes",
        "Live worker processes: is one missing?",
        lambda now: now.worker_processes,
    ),
    Gauge(
        "codeforge_webhook_backlog",
        "Webhooks not delivered yet, due or waiting for their next try: do receivers answer?",
        lambda now: now.webhook_backlog,
    ),
    Gauge(
        "codeforge_webhook_overdue_seconds",
        "Seconds since the longest-due webhook became due: do dispatchers keep up?",
        lambda now: now.webhook_overdue_seconds,
    ),
    Gauge(
        "codeforge_dead_letters",
        "Tasks that ran out of lives or repeats and were not run again: what needs a person?",
        lambda now: now.dead_letters,
    ),
    Gauge(
        "codeforge_workspace_bytes",
        "Bytes that workspaces take on all live homes: how much disk does work need?",
        lambda now: now.workspace_bytes,
    ),
    Gauge(
        "codeforge_homes_short_of_disk",
        "Live homes above their warning threshold: does a disk need room?",
        lambda now: now.homes_short_of_disk,
    ),
)
COUNTERS = (
    Counter(
        "codeforge_tasks",
        "Runs that ended: how many succeed?",
        "tasks",
        ("status",),
        ("completed", "failed"),
    ),
    Counter(
        "codeforge_task_failures",
        "Runs that failed, by reason: what breaks?",
        "failures",
        ("reason",),
    ),
    Counter(
        "codeforge_task_retries",
        "Runs put back to be repeated by themselves, by reason: what is flaky?",
        "retries",
        ("reason",),
    ),
    Counter(
        "codeforge_task_handbacks",
        "Runs handed back by workers that stop or lost Redis: how calm is the deployment?",
        "handbacks",
        ("reason",),
    ),
    Counter(
        "codeforge_quota_waits",
        "Runs that had no quota and wait for it, or take another key, by reason: are keys scarce?",
        "quota_waits",
        ("reason",),
        ("quota_exhausted", "rate_limited"),
    ),
    Counter(
        "codeforge_breakers_opened",
        "Breakers that opened, or whose probe failed: what breaks?",
        "breakers_opened",
        ("class",),
        ("agent", "endpoint"),
    ),
    Counter(
        "codeforge_breakers_closed",
        "Breakers that a success closed: does it come back?",
        "breakers_closed",
        ("class",),
        ("agent", "endpoint"),
    ),
    Counter(
        "codeforge_leases_lost",
        "Leases that ended without a report, by reason: do workers die?",
        "leases_lost",
        ("reason",),
        ("worker_lost", "claim_lost"),
    ),
    Counter(
        "codeforge_dead_letters_dropped",
        "Dead letters that left the list unread, because 10,000 newer ones are in it: who looks?",
        "dead_letters_dropped",
        (),
    ),
    Counter(
        "codeforge_pull_requests",
        "Create-pr runs that ended: does publishing work?",
        "pull_requests",
        ("result",),
        ("created", "updated", "failed"),
    ),
    Counter(
        "codeforge_webhook_deliveries",
        "Webhooks that ended, once each: do receivers get them?",
        "webhook_deliveries",
        ("status",),
        ("success", "failed"),
    ),
    Counter(
        "codeforge_watchdog_signals",
        "Attempts that behaved badly, by how: which agents get stuck?",
        "signals",
        ("signal",),
    ),
    Counter(
        "codeforge_escalations",
        "Changes of level of agents, repositories and workers: what had to be held back?",
        "escalations",
        ("scope", "change"),
    ),
    Counter(
        "codeforge_agent_tokens",
        "Model tokens used by agents: what does work consume?",
        "tokens",
        ("agent", "kind"),
    ),
    Counter(
        "codeforge_agent_cost_usd",
        "US dollars that agents reported, or the table of prices said: what does work cost?",
        "cost_usd",
        ("agent",),
    ),
    Counter(
        "codeforge_agent_unpriced_tokens",
        "Model tokens for which nobody knew a price: what is the cost without?",
        "unpriced_tokens",
        ("agent",),
    ),
)
HISTOGRAMS = (
    Histogram(
        "codeforge_tasks_duration_seconds",
        "Seconds from the first claim of a run to its end: how long does work take?",
        "duration",
        "status",
        DURATION,
        ("completed", "failed"),
    ),
    Histogram(
        "codeforge_queue_wait_seconds",
        "Seconds from queueing a run to its first claim: how long do people wait?",
        "queue_wait",
        "lane",
        QUEUE_WAIT,
        ("agent",),
    ),
    Histogram(
        "codeforge_clone_seconds",
        "Seconds until a workspace was ready, by how it was made: are mirrors and spares worth it?",
        "clone",
        "mode",
        CLONE,
    ),
)
