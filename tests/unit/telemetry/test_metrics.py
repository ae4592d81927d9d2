"""What a scrape shows: the names dashboards know, with values of the whole deployment."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from internal.telemetry.buckets import DURATION
from internal.telemetry.cluster import ClusterSnapshot
from internal.telemetry.metrics import Metrics

COUNTERS = {
    "tasks:completed": "3",
    "duration:completed:sum": "75.5",
    "duration:completed:30": "2",
    "duration:completed:60": "1",
    "failures:timeout": "4",
    "webhook_deliveries:failed": "1",
    "tokens:claude-code:input_tokens": "120",
    "cost_usd:claude-code": "0.25",
}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def test_the_names_of_version_a_are_kept() -> None:
    """
    Existing dashboards and alerts go on working.
    """
    metrics = Metrics()
    metrics.observe_request("GET", "/api/v1/tasks/{id}", 200, 0.02)

    names = {name for name, _ in _scrape(metrics, {})}

    assert names >= {
        "codeforge_tasks_total",
        "codeforge_tasks_duration_seconds_bucket",
        "codeforge_tasks_duration_seconds_sum",
        "codeforge_tasks_duration_seconds_count",
        "codeforge_tasks_in_progress",
        "codeforge_queue_depth",
        "codeforge_workers_active",
        "codeforge_workers_total",
        "codeforge_webhook_deliveries_total",
        "codeforge_http_requests_total",
        "codeforge_http_request_duration_seconds_bucket",
        "process_resident_memory_bytes",
    }


def test_values_come_from_the_snapshot() -> None:
    """
    Counters and gauges are what Redis says; what never happened is 0 and not missing.
    """
    samples = _scrape(Metrics(), COUNTERS)

    assert _value(samples, "codeforge_tasks_total", status="completed") == 3
    assert _value(samples, "codeforge_tasks_total", status="failed") == 0
    assert _value(samples, "codeforge_queue_depth") == 7
    assert _value(samples, "codeforge_queue_oldest_seconds") == 12.5
    assert _value(samples, "codeforge_workers_active") == 2
    assert _value(samples, "codeforge_worker_processes") == 3
    assert _value(samples, "codeforge_workspace_bytes") == 3072
    assert _value(samples, "codeforge_homes_short_of_disk") == 1
    assert _value(samples, "codeforge_webhook_backlog") == 5
    assert _value(samples, "codeforge_webhook_overdue_seconds") == 0.5
    assert _value(samples, "codeforge_task_failures_total", reason="timeout") == 4
    assert _value(samples, "codeforge_webhook_deliveries_total", status="failed") == 1
    assert (
        _value(samples, "codeforge_agent_tokens_total", agent="claude-code", kind="input_tokens")
        == 120
    )
    assert _value(samples, "codeforge_agent_cost_usd_total", agent="claude-code") == 0.25


def test_the_histogram_is_whole() -> None:
    """
    Buckets are cumulative and end with the count, as Prometheus asks.
    """
    samples = _scrape(Metrics(), COUNTERS)
    name = "codeforge_tasks_duration_seconds"

    bounds = [*(str(float(bound)) for bound in DURATION), "+Inf"]
    found = [_value(samples, f"{name}_bucket", status="completed", le=bound) for bound in bounds]

    assert found == [0, 2, 3, 3, 3, 3, 3, 3]
    assert _value(samples, f"{name}_count", status="completed") == 3
    assert _value(samples, f"{name}_sum", status="completed") == 75.5


def test_requests_are_counted_by_route_and_known_method() -> None:
    """
    No client can make new time series: neither by paths nor by methods it makes up.
    """
    metrics = Metrics()
    for method in ("GET", "get", "BREW", "X" * 100):
        metrics.observe_request(method, "/api/v1/tasks/{id}", 404, 0.02)

    samples = _scrape(metrics, {})

    labels = {"path": "/api/v1/tasks/{id}", "status": "404"}
    assert _value(samples, "codeforge_http_requests_total", method="GET", **labels) == 1
    assert _value(samples, "codeforge_http_requests_total", method="other", **labels) == 3


def test_each_metric_says_what_it_is_for() -> None:
    """
    The help text has a unit or a thing counted, and the question that the metric answers.
    """
    text = Metrics().render(_snapshot({})).decode()

    helps = [line for line in text.splitlines() if line.startswith("# HELP codeforge_")]
    assert helps
    assert all(line.endswith("?") for line in helps)


def _snapshot(counters: Mapping[str, str]) -> ClusterSnapshot:
    return ClusterSnapshot(
        counters=counters,
        tasks_in_progress=1,
        queue_depth=7,
        workers_active=2,
        workers_total=6,
        queue_oldest_seconds=12.5,
        worker_processes=3,
        workspace_bytes=3072,
        homes_short_of_disk=1,
        webhook_backlog=5,
        webhook_overdue_seconds=0.5,
        dead_letters=1,
    )


def _scrape(metrics: Metrics, counters: Mapping[str, str]) -> Samples:
    text = metrics.render(_snapshot(counters)).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]
