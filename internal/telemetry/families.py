"""
A snapshot of the deployment in the form that Prometheus' client writes out: metric families.

The gauges whose labels come from the snapshot are made here, all else by the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from internal.telemetry.cluster import (
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    ClusterSnapshot,
    Counter,
    Histogram,
)


class ClusterFamilies(Collector):
    """One snapshot as metric families."""

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self._snapshot = snapshot
        self._by_name: dict[str, dict[tuple[str, ...], float]] = {}
        for counted, value in snapshot.counters.items():
            name, *labels = counted.split(":")
            self._by_name.setdefault(name, {})[tuple(labels)] = float(value)

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        for gauge in GAUGES:
            value = gauge.value(self._snapshot)
            yield GaugeMetricFamily(gauge.name, gauge.question, value=value)
        yield self._levels()
        yield self._breakers()
        for counter in COUNTERS:
            yield self._counter(counter)
        for histogram in HISTOGRAMS:
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

    def _counter(self, row: Counter) -> Metric:
        family = CounterMetricFamily(row.name, row.question, labels=row.labels)
        always: dict[tuple[str, ...], float] = {(label,): 0.0 for label in row.always}
        if not row.labels:
            always[()] = 0.0
        known = always | self._by_name.get(row.counted, {})
        for labels in sorted(known):
            if len(labels) == len(row.labels):
                family.add_metric(labels, known[labels])
        return family

    def _histogram(self, row: Histogram) -> Metric:
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
