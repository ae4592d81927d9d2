"""The collector that the settings name, for our own spans and for agents that report themselves."""

from __future__ import annotations

from collections.abc import Mapping

from internal.config.settings import Settings
from internal.telemetry import collector
from internal.telemetry.collector import Collector, Transport


def find_collector(settings: Settings, environ: Mapping[str, str]) -> Collector:
    """Raises Invalid when there cannot be such a one."""
    tracing = settings.tracing
    return collector.find_collector(
        transport=Transport.GRPC if tracing.exporter == "otlp-grpc" else Transport.HTTP,
        endpoint=tracing.endpoint,
        insecure=tracing.insecure,
        ca_file=tracing.ca_file,
        headers=tracing.headers.get_secret_value(),
        environ=environ,
    )
