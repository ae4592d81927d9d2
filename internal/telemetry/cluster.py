"""
Metrics of the whole deployment, as tables: what Redis counts, and what its queues show right now.

Labels are few words of ours (status, reason, agent, lane), never a task, a repository or a tenant:
each pair is a time series for ever. docs/operations.md is compared with these tables by a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

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
class _Gauge:
    name: str
    question: str
    value: Callable[[ClusterSnapshot], float]


@dataclass(frozen=True, slots=True)
class _Counter:
    """`counted` is the name in Redis; what is in `always` is shown although it never happened."""

    name: str
    question: str
    counted: str
    labels: tuple[str, ...]
    always: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Histogram:
    name: str
    question: str
    counted: str
    label: str
    bounds: tuple[float, ...]
    always: tuple[str, ...] = ()


_GAUGES = (
    _Gauge(
        "codeforge_tasks_in_progress",
        "Tasks leased to a worker: how much runs?",
        lambda now: now.tasks_in_progress,
    ),
    _Gauge(
        "codeforge_queue_depth",
        "Tasks that want a worker, waiting and due: how many workers are missing?",
        lambda now: now.queue_depth,
    ),
    _Gauge(
        "codeforge_queue_oldest_seconds",
        "Seconds since the oldest of them was queued: does everybody get a turn?",
        lambda now: now.queue_oldest_seconds,
    ),
    _Gauge(
        "codeforge_workers_active",
        "Worker slots in use: how busy are we?",
        lambda now: now.workers_active,
    ),
    _Gauge(
        "codeforge_workers_total",
        "Worker slots of live workers: how much could run?",
        lambda now: now.workers_total,
    ),
    _Gauge(
        "codeforge_worker_processes",
        "Live worker processes: is one missing?",
        lambda now: now.worker_processes,
    ),
    _Gauge(
        "codeforge_webhook_backlog",
        "Webhooks not delivered yet, due or waiting for their next try: do receivers answer?",
        lambda now: now.webhook_backlog,
    ),
    _Gauge(
        "codeforge_webhook_overdue_seconds",
        "Seconds since the longest-due webhook became due: do dispatchers keep up?",
        lambda now: now.webhook_overdue_seconds,
    ),
    _Gauge(
        "codeforge_dead_letters",
        "Tasks that ran out of lives or repeats and were not run again: what needs a person?",
        lambda now: now.dead_letters,
    ),
    _Gauge(
        "codeforge_workspace_bytes",
        "Bytes that workspaces take on all live homes: how much disk does work need?",
        lambda now: now.workspace_bytes,
    ),
    _Gauge(
        "codeforge_homes_short_of_disk",
        "Live homes above their warning threshold: does a disk need room?",
        lambda now: now.homes_short_of_disk,
    ),
)
_COUNTERS = (
    _Counter(
        "codeforge_tasks",
        "Runs that ended: how many succeed?",
        "tasks",
        ("status",),
        ("completed", "failed"),
    ),
    _Counter(
        "codeforge_task_failures",
        "Runs that failed, by reason: what breaks?",
        "failures",
        ("reason",),
    ),
    _Counter(
        "codeforge_task_retries",
        "Runs put back to be repeated by themselves, by reason: what is flaky?",
        "retries",
        ("reason",),
    ),
    _Counter(
        "codeforge_task_handbacks",
        "Runs handed back by workers that stop or lost Redis: how calm is the deployment?",
        "handbacks",
        ("reason",),
    ),
    _Counter(
        "codeforge_quota_waits",
        "Runs that had no quota and wait for it, or take another key, by reason: are keys scarce?",
        "quota_waits",
        ("reason",),
        ("quota_exhausted", "rate_limited"),
    ),
    _Counter(
        "codeforge_breakers_opened",
        "Breakers that opened, or whose probe failed: what breaks?",
        "breakers_opened",
        ("class",),
        ("agent", "endpoint"),
    ),
    _Counter(
        "codeforge_breakers_closed",
        "Breakers that a success closed: does it come back?",
        "breakers_closed",
        ("class",),
        ("agent", "endpoint"),
    ),
    _Counter(
        "codeforge_leases_lost",
        "Leases that ended without a report, by reason: do workers die?",
        "leases_lost",
        ("reason",),
        ("worker_lost", "claim_lost"),
    ),
    _Counter(
        "codeforge_dead_letters_dropped",
        "Dead letters that left the list unread, because 10,000 newer ones are in it: who looks?",
        "dead_letters_dropped",
        (),
    ),
    _Counter(
        "codeforge_pull_requests",
        "Create-pr runs that ended: does publishing work?",
        "pull_requests",
        ("result",),
        ("created", "updated", "failed"),
    ),
    _Counter(
        "codeforge_webhook_deliveries",
        "Webhooks that ended, once each: do receivers get them?",
        "webhook_deliveries",
        ("status",),
        ("success", "failed"),
    ),
    _Counter(
        "codeforge_watchdog_signals",
        "Attempts that behaved badly, by how: which agents get stuck?",
        "signals",
        ("signal",),
    ),
    _Counter(
        "codeforge_escalations",
        "Changes of level of agents, repositories and workers: what had to be held back?",
        "escalations",
        ("scope", "change"),
    ),
    _Counter(
        "codeforge_agent_tokens",
        "Model tokens used by agents: what does work consume?",
        "tokens",
        ("agent", "kind"),
    ),
    _Counter(
        "codeforge_agent_cost_usd",
        "US dollars that agents reported, or the table of prices said: what does work cost?",
        "cost_usd",
        ("agent",),
    ),
    _Counter(
        "codeforge_agent_unpriced_tokens",
        "Model tokens for which nobody knew a price: what is the cost without?",
        "unpriced_tokens",
        ("agent",),
    ),
)
_HISTOGRAMS = (
    _Histogram(
        "codeforge_tasks_duration_seconds",
        "Seconds from the first claim of a run to its end: how long does work take?",
        "duration",
        "status",
        DURATION,
        ("completed", "failed"),
    ),
    _Histogram(
        "codeforge_queue_wait_seconds",
        "Seconds from queueing a run to its first claim: how long do people wait?",
        "queue_wait",
        "lane",
        QUEUE_WAIT,
        ("agent",),
    ),
    _Histogram(
        "codeforge_clone_seconds",
        "Seconds until a workspace was ready, by how it was made: are mirrors and spares worth it?",
        "clone",
        "mode",
        CLONE,
    ),
)


class Cluster(Collector):
    """One snapshot as metric families."""

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self._snapshot = snapshot
        self._by_name: dict[str, dict[tuple[str, ...], float]] = {}
        for counted, value in snapshot.counters.items():
            name, *labels = counted.split(":")
            self._by_name.setdefault(name, {})[tuple(labels)] = float(value)

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        for gauge in _GAUGES:
            value = gauge.value(self._snapshot)
            yield GaugeMetricFamily(gauge.name, gauge.question, value=value)
        yield self._levels()
        yield self._breakers()
        for counter in _COUNTERS:
            yield self._counter(counter)
        for histogram in _HISTOGRAMS:
            yield self._histogram(histogram)

    def _levels(self) -> Metric:
        family = GaugeMetricFamily(
            "codeforge_escalated",
            "Agents, repositories and workers with a level: what is held back right now?",
            labels=["scope", "level"],
        )
        for labels, count in sorted(self._snapshot.levels.items()):
            family.add_metric(labels, count)
        return family

    def _breakers(self) -> Metric:
        family = GaugeMetricFamily(
            "codeforge_breakers_open",
            "Breakers that are not closed: is an agent or a model endpoint broken right now?",
            labels=["class"],
        )
        for name in ("agent", "endpoint"):
            family.add_metric([name], self._snapshot.open_breakers.get(name, 0))
        return family

    def _counter(self, row: _Counter) -> Metric:
        family = CounterMetricFamily(row.name, row.question, labels=row.labels)
        always: dict[tuple[str, ...], float] = {(label,): 0.0 for label in row.always}
        if not row.labels:
            always[()] = 0.0
        known = always | self._by_name.get(row.counted, {})
        for labels in sorted(known):
            if len(labels) == len(row.labels):
                family.add_metric(labels, known[labels])
        return family

    def _histogram(self, row: _Histogram) -> Metric:
        family = HistogramMetricFamily(row.name, row.question, labels=[row.label])
        known = self._by_name.get(row.counted, {})
        values = {labels[0] for labels in known} | set(row.always)
        for value in sorted(values):
            family.add_metric(
                [value],
                list(_cumulative(known, value, row.bounds)),
                known.get((value, "sum"), 0.0),
            )
        return family


def _cumulative(
    known: Mapping[tuple[str, ...], float], value: str, bounds: tuple[float, ...]
) -> Iterator[tuple[str, float]]:
    """Buckets as Prometheus wants them: each with all below it, the last one with everything."""
    total = 0.0
    for bound in bounds:
        total += known.get((value, str(bound)), 0.0)
        yield str(float(bound)), total
    yield "+Inf", total + known.get((value, "inf"), 0.0)
