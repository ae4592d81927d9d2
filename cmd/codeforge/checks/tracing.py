"""Tracing: whether its settings make sense, and somebody listens where traces are to go."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Mapping
from urllib.parse import urlsplit

from codeforge.checks.finding import Finding, fail, ok, warn
from codeforge.wiring.collector import find_collector
from internal.config.settings import Settings
from internal.errors import Invalid
from internal.telemetry.collector import Transport

_CONNECT_SECONDS = 3


async def check_tracing(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """Nothing when it is off. Connects to the collector and sends nothing."""
    if not settings.tracing.enabled or not settings.tracing.exporter.startswith("otlp"):
        return []
    try:
        collector = find_collector(settings, environ)
    except Invalid as error:
        return [fail(name, problem, "Correct it.") for name, problem in error.fields.items()]
    has_exporter = importlib.util.find_spec("grpc") is not None
    if collector.transport is Transport.GRPC and not has_exporter:
        advice = "pip install 'codeforge[otlp-grpc]', or use the exporter otlp."
        return [fail("tracing", "the exporter for gRPC is not installed", advice)]
    if not await _listens(collector.url):
        advice = "Start it, or correct tracing.endpoint; spans are dropped until then."
        return [warn("tracing", f"no collector at {collector.url}", advice)]
    return [ok("tracing", f"a collector at {collector.url}")]


async def _listens(url: str) -> bool:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except OSError:  # a time-out is one
        return False
    writer.close()
    return True
