"""
What an agent is told when it is to report its own telemetry: OpenTelemetry's standard variables.

Only place, protocol, the task and its trace. Never the headers: they hold the collector's password,
and an agent's tools see its environment. Who wants an agent to have them names
`OTEL_EXPORTER_OTLP_HEADERS` in `cli.<agent>.env`.
"""

from __future__ import annotations

from internal.agent.model import Reporting


def otel_variables(reporting: Reporting) -> dict[str, str]:
    """Variables of the exporters, the resource and the caller's span."""
    variables = {
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": reporting.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": reporting.protocol,
        "OTEL_RESOURCE_ATTRIBUTES": _resource(reporting),
    }
    if reporting.ca_file is not None:
        variables["OTEL_EXPORTER_OTLP_CERTIFICATE"] = reporting.ca_file
    if reporting.traceparent is not None:
        variables["TRACEPARENT"] = reporting.traceparent
    return variables


def _resource(reporting: Reporting) -> str:
    return f"task.id={reporting.task},task.iteration={reporting.iteration}"
