"""Tracing of the test's process into a collector of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from internal.telemetry import spanqueue
from internal.telemetry.collector import Transport, find_collector
from internal.telemetry.otel import TracingOptions, open_tracing
from tests.support.collector import Collector, collecting


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are sent as soon as they end."""
    monkeypatch.setattr(spanqueue, "PAUSE_MILLIS", 20)


@pytest.fixture
async def collector() -> AsyncGenerator[Collector]:
    """A collector that nobody knows of."""
    async with collecting() as opened:
        yield opened


@pytest.fixture
async def tracing(collector: Collector) -> AsyncGenerator[Collector]:
    """Everything this process does is recorded, and comes to the collector."""
    where = find_collector(
        transport=Transport.HTTP,
        endpoint=collector.url,
        insecure=False,
        ca_file="",
        headers="",
        environ={},
    )
    options = TracingOptions(process="test", version="1", sampling_rate=1, collector=where)
    opened = open_tracing(options)
    yield collector
    await asyncio.to_thread(opened.close)
