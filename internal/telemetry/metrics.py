"""
Metrics in Prometheus' text form: version A's names, each with its unit and the question it answers.

Everything about tasks, webhooks, tokens and cost is counted in Redis by the scripts that end
things, so every server shows the same values and a restart loses none: dashboards take `max` over
servers. HTTP metrics, and those of memory, CPU and open files, are of this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

TASK_BUCKETS = (10, 30, 60, 120, 300, 600, 1800)
"""Seconds; the same as in internal/task/lua/lib.lua."""

_HTTP_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TASK_STATUSES = ("completed", "failed")
SPAN_ENDS = ("exported", "failed", "dropped")
"""What becomes of a recorded span: `failed` was not taken, `dropped` found no room."""
CountSpans = Callable[[], Mapping[str, int]]

_DELIVERY_STATUSES = ("success", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSnapshot:
    """
    The deployment at one moment. `counters` is the counters hash: `tasks:<status>`,
    `duration_sum:<status>`, `duration_bucket:<status>:<le>`, `webhook_deliveries:<status>`,
    `tokens:<agent>:<kind>`, `cost_usd:<agent>`.
    """

    counters: Mapping[str, str]
    tasks_in_progress: int
    queue_depth: int
    workers_active: int
    workers_total: int


def known_method(method: str) -> str:
    """*method*, or `other` for what no route has: else a client could make up thousands."""
    return method if method in _METHODS else "other"


class Metrics:
    """This process' HTTP metrics, and the way to show them beside the deployment's."""

    def __init__(self, *, count_spans: CountSpans | None = None) -> None:
        """*count_spans* tells what became of this process' spans; None without tracing."""
        self._registry = CollectorRegistry()
        if count_spans is not None:
            self._registry.register(_Spans(count_spans))
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "codeforge_http_requests",
            "Requests answered by this server: how much is asked of it, and how it ends?",
            ["method", "path", "status"],
            registry=self._registry,
        )
        self._durations = Histogram(
            "codeforge_http_request_duration_seconds",
            "Seconds until a request was answered: how long do clients wait?",
            ["method", "path"],
            buckets=_HTTP_BUCKETS,
            registry=self._registry,
        )
        self._lost_audit_entries = Counter(
            "codeforge_audit_lost",
            "Audit entries that Redis did not take, which stand only in the log: is it complete?",
            registry=self._registry,
        )

    def observe_request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one request; *path* is the route's template, never what the client sent."""
        method = known_method(method)
        self._requests.labels(method, path, str(status)).inc()
        self._durations.labels(method, path).observe(seconds)

    def count_lost_audit_entry(self) -> None:
        """Count one act that the audit log does not have."""
        self._lost_audit_entries.inc()

    def render(self, snapshot: ClusterSnapshot) -> bytes:
        """All metrics as text."""
        cluster = CollectorRegistry()
        cluster.register(_Cluster(snapshot))
        return generate_latest(cluster) + generate_latest(self._registry)


class _Spans(Collector):
    def __init__(self, count: CountSpans) -> None:
        self._count = count

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "codeforge_trace_spans",
            "Recorded spans of this server, by what became of them: do traces arrive?",
            labels=["result"],
        )
        counts = self._count()
        for end in SPAN_ENDS:
            family.add_metric([end], counts.get(end, 0))
        yield family


class _Cluster(Collector):
    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        yield from self._gauges()
        yield self._ended()
        yield self._durations()
        yield self._deliveries()
        yield from self._usage()

    def _gauges(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        rows = (
            (
                "codeforge_tasks_in_progress",
                "Tasks leased to a worker: how much runs?",
                snapshot.tasks_in_progress,
            ),
            (
                "codeforge_queue_depth",
                "Tasks that want a worker, waiting and due: how many workers are missing?",
                snapshot.queue_depth,
            ),
            (
                "codeforge_workers_active",
                "Worker slots in use: how busy are we?",
                snapshot.workers_active,
            ),
            (
                "codeforge_workers_total",
                "Worker slots of live workers: how much could run?",
                snapshot.workers_total,
            ),
        )
        for name, question, value in rows:
            yield GaugeMetricFamily(name, question, value=value)

    def _ended(self) -> Metric:
        family = CounterMetricFamily(
            "codeforge_tasks", "Runs that ended: how many succeed?", labels=["status"]
        )
        for status in _TASK_STATUSES:
            family.add_metric([status], self._number(f"tasks:{status}"))
        return family

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            "codeforge_tasks_duration_seconds",
            "Seconds from the first claim of a run to its end: how long does work take?",
            labels=["status"],
        )
        for status in _TASK_STATUSES:
            buckets = [
                (str(float(bound)), self._number(f"duration_bucket:{status}:{bound}"))
                for bound in TASK_BUCKETS
            ]
            buckets.append(("+Inf", self._number(f"tasks:{status}")))
            family.add_metric([status], buckets, self._number(f"duration_sum:{status}"))
        return family

    def _deliveries(self) -> Metric:
        family = CounterMetricFamily(
            "codeforge_webhook_deliveries",
            "Webhooks that ended, once each: do receivers get them?",
            labels=["status"],
        )
        for status in _DELIVERY_STATUSES:
            family.add_metric([status], self._number(f"webhook_deliveries:{status}"))
        return family

    def _usage(self) -> Iterator[Metric]:
        tokens = CounterMetricFamily(
            "codeforge_agent_tokens",
            "Model tokens used by agents: what does work consume?",
            labels=["agent", "kind"],
        )
        cost = CounterMetricFamily(
            "codeforge_agent_cost_usd",
            "US dollars that agents reported: what does work cost?",
            labels=["agent"],
        )
        for name in sorted(self._snapshot.counters):
            match name.split(":"):
                case ["tokens", agent, kind]:
                    tokens.add_metric([agent, kind], self._number(name))
                case ["cost_usd", agent]:
                    cost.add_metric([agent], self._number(name))
                case _:
                    pass
        yield tokens
        yield cost

    def _number(self, name: str) -> float:
        return float(self._snapshot.counters.get(name, 0))
