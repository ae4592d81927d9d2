"""
Metrics in Prometheus' text form: version A's names, each with its unit and the question it answers.

Everything about tasks, webhooks, tokens and cost is counted in Redis by the scripts that end
things, so every server shows the same values and a restart loses none: dashboards take `max` over
servers. HTTP metrics, and those of memory, CPU and open files, are of this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from internal.telemetry.cluster import ClusterSnapshot
from internal.telemetry.families import ClusterFamilies
from internal.telemetry.tracing import SPAN_ENDS

_HTTP_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_leave_out_created: Callable[[], None] = disable_created_metrics  # which has no types
CountSpans = Callable[[], Mapping[str, int]]


def known_method(method: str) -> str:
    """*method*, or `other` for what no route has: else a client could make up thousands."""
    return method if method in _METHODS else "other"


class Metrics:
    """This process' HTTP metrics, and the way to show them beside the deployment's."""

    def __init__(self, *, count_spans: CountSpans | None = None) -> None:
        """*count_spans* tells what became of this process' spans; None without tracing."""
        _leave_out_created()  # else every series comes twice, and no dashboard reads those
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

        self._turned_away = Counter(
            "codeforge_submissions_turned_away",
            "New work this server did not take, by answer and by what was short: is there room?",
            ["answer", "cause"],
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

    def count_turned_away(self, answer: str, cause: str) -> None:
        """Count one submission that backpressure did not let in."""
        self._turned_away.labels(answer, cause).inc()

    def render(self, snapshot: ClusterSnapshot) -> bytes:
        """All metrics as text."""
        cluster = CollectorRegistry()
        cluster.register(ClusterFamilies(snapshot))
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
