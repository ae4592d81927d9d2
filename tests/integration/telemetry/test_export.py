"""Spans on their way to a real collector: over HTTP and gRPC, with and without TLS, or never."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from structlog.testing import capture_logs

from internal.errors import Invalid
from internal.telemetry import otel
from internal.telemetry.collector import Collector as Place
from internal.telemetry.collector import Transport, find_collector
from internal.telemetry.otel import Tracing, TracingOptions, open_tracing
from internal.telemetry.spanqueue import MOST_WAITING
from internal.telemetry.tracing import continue_from, current_trace_id, current_traceparent, span
from tests.support.collector import Collector, Span, collecting, spans_of
from tests.support.receiver import Reply
from tests.support.tls import server_context, write_certificate

OPTIONS = TracingOptions(process="test", version="1.2.3", sampling_rate=1, collector=None)
HEADERS = "authorization=Bearer%20a-long-token"
_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"

Open = Callable[[TracingOptions], Tracing]


@pytest.fixture
def traced() -> Generator[Open]:
    """Turns tracing on, for this test only."""
    opened: list[Tracing] = []

    def start(options: TracingOptions) -> Tracing:
        opened.append(open_tracing(options))
        return opened[-1]

    yield start
    for tracing in opened:
        tracing.close()


def place(endpoint: str, *, transport: Transport = Transport.HTTP, ca_file: str = "") -> Place:
    return find_collector(
        transport=transport,
        endpoint=endpoint,
        insecure=False,
        ca_file=ca_file,
        headers=HEADERS,
        environ={},
    )


async def test_spans_arrive_over_http(traced: Open, collector: Collector) -> None:
    """
    With the headers, the service they are of, and what they were told.
    """
    tracing = traced(replace(OPTIONS, collector=place(collector.url)))

    with span("outer", task="t1"), span("inner"):
        pass
    found = await collector.named("outer", "inner")

    assert found["inner"].parent_id == found["outer"].span_id
    assert found["outer"].attributes == {"task": "t1"}
    assert found["outer"].resource["service.name"] == "codeforge"
    assert found["outer"].resource["service.version"] == "1.2.3"
    assert collector.exports[0].path == "/v1/traces"
    assert collector.exports[0].headers["authorization"] == "Bearer a-long-token"
    assert tracing.counts() == {"exported": 2, "failed": 0, "dropped": 0}


async def test_fault_a30_tls_is_checked(
    traced: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    With the authority of `tracing.ca_file` spans arrive; with the machine's alone none is sent to
    a collector that nobody vouches for.
    """
    monkeypatch.setattr(otel, "EXPORT_SECONDS", 1.0)
    pem = write_certificate(tmp_path, "localhost")
    async with collecting(server_context(pem)) as collector:
        doubted = traced(replace(OPTIONS, collector=place(collector.url)))
        with span("doubted"):
            pass
        await asyncio.to_thread(doubted.close)
        trusted = traced(replace(OPTIONS, collector=place(collector.url, ca_file=str(pem))))
        with span("trusted"):
            pass
        await asyncio.to_thread(trusted.close)

        assert {entry.name for entry in collector.spans} == {"trusted"}
        assert doubted.counts()["failed"] == 1


@pytest.mark.parametrize("has_tls", [False, True])
async def test_spans_arrive_over_grpc(traced: Open, tmp_path: Path, has_tls: bool) -> None:
    """
    The same spans and headers, for collectors that speak nothing else.
    """
    pem = write_certificate(tmp_path, "localhost")
    with _grpc_collector(pem if has_tls else None) as (port, spans, metadata):
        url = f"{'https' if has_tls else 'http'}://localhost:{port}"
        where = place(url, transport=Transport.GRPC, ca_file=str(pem) if has_tls else "")
        tracing = traced(replace(OPTIONS, collector=where))
        with span("outer"):
            pass
        await asyncio.to_thread(tracing.close)

    assert [entry.name for entry in spans] == ["outer"]
    assert metadata["authorization"] == "Bearer a-long-token"


async def test_fault_a30_the_rate_of_sampling_is_meant(traced: Open, collector: Collector) -> None:
    """
    0 is nothing, whatever a caller wants, and 1 is everything, whatever a caller does not want.
    """
    nothing = traced(replace(OPTIONS, collector=place(collector.url), sampling_rate=0))
    with continue_from(f"{CALLER}-01"), span("nothing"):
        unsampled = current_traceparent()
    await asyncio.to_thread(nothing.close)
    everything = traced(replace(OPTIONS, collector=place(collector.url), sampling_rate=1))
    with continue_from(f"{CALLER}-00"), span("everything"):
        sampled = current_traceparent()
    await asyncio.to_thread(everything.close)

    assert {entry.name for entry in collector.spans} == {"everything"}
    assert unsampled is not None
    assert sampled is not None
    assert (unsampled[-3:], sampled[-3:]) == ("-00", "-01")


async def test_in_between_a_callers_decision_counts(traced: Open, collector: Collector) -> None:
    """
    Else it is the share of traces, each of them whole.
    """
    tracing = traced(replace(OPTIONS, collector=place(collector.url), sampling_rate=0.5))

    with continue_from(f"{CALLER}-01"), span("wanted"):
        pass
    with continue_from(f"{CALLER}-00"), span("unwanted"):
        pass
    for _ in range(200):
        with span("outer"), span("inner"):
            pass
    await asyncio.to_thread(tracing.close)

    names = [entry.name for entry in collector.spans]
    assert names.count("wanted") == 1
    assert "unwanted" not in names
    assert 50 < names.count("outer") < 150
    assert names.count("inner") == names.count("outer")


async def test_a_collector_that_is_away_costs_nothing_but_spans(
    traced: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What finds no room is dropped and counted, at once; the log says it once. Ending is bounded.
    """
    monkeypatch.setattr(otel, "EXPORT_SECONDS", 2.0)
    async with collecting() as collector:
        collector.receiver.answer(Reply(delay_seconds=30))
        with capture_logs() as lines:
            tracing = traced(replace(OPTIONS, collector=place(collector.url)))
            for _ in range(50 * MOST_WAITING):
                with span("one of many"):
                    pass
                if tracing.counts()["dropped"] > 100:
                    break
            began = time.monotonic()
            await asyncio.to_thread(tracing.close)
            took = time.monotonic() - began

    counts = tracing.counts()
    assert counts["exported"] == 0
    assert counts["dropped"] > 100
    assert took < 10  # 5 s at most, on a machine that is busy
    events = [line["event"] for line in lines]
    assert events.count("tracing.dropping") == 1
    assert events.count("tracing.export_fails") <= 1


async def test_the_log_says_once_that_exports_fail_and_once_that_they_work(
    traced: Open, collector: Collector
) -> None:
    """
    Not with each batch; and what was sent before is not sent again.
    """
    collector.receiver.answer(Reply(status=400), Reply(status=400), Reply())
    with capture_logs() as lines:
        tracing = traced(replace(OPTIONS, collector=place(collector.url)))
        for number in range(3):
            with span(f"span {number}"):
                pass
            await collector.until(partial(_are, number + 1))
        await asyncio.to_thread(tracing.close)

    events = [line["event"] for line in lines if line["event"].startswith("tracing.")]
    assert events == ["tracing.export_fails", "tracing.export_works"]
    assert tracing.counts() == {"exported": 1, "failed": 2, "dropped": 0}


def test_on_the_console_a_span_is_a_line(traced: Open) -> None:
    """
    To see what a deployment would report, without a collector.
    """
    out = io.StringIO()
    tracing = open_tracing(replace(OPTIONS, console=True), console=out)

    with span("shown", number=7):
        pass
    tracing.close()

    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["attributes"] == {"number": 7}


def test_without_an_exporter_there_are_still_ids(traced: Open) -> None:
    """
    For logs and documents, and for whoever records behind us.
    """
    tracing = traced(OPTIONS)

    with span("a"):
        assert current_trace_id() is not None
    assert tracing.counts() == {}


def test_an_authority_that_cannot_be_read_is_told_at_start(traced: Open, tmp_path: Path) -> None:
    """
    Not with the first export, when nobody looks.
    """
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    for path in (tmp_path / "missing.pem", empty):
        with pytest.raises(Invalid) as refusal:
            traced(replace(OPTIONS, collector=place("https://localhost:1", ca_file=str(path))))
        assert set(refusal.value.fields) == {"tracing.ca_file"}


def _are(count: int, spans: list[Span]) -> bool:
    return len(spans) >= count


@contextmanager
def _grpc_collector(
    pem: Path | None,
) -> Generator[tuple[int, list[Span], dict[str, str | bytes]]]:
    """A collector that speaks gRPC: its port, its spans, and the metadata of the last call."""
    spans: list[Span] = []
    metadata: dict[str, str | bytes] = {}

    def export(
        request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        spans.extend(spans_of(request))
        metadata.update(dict(context.invocation_metadata()))
        return ExportTraceServiceResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        export,
        request_deserializer=ExportTraceServiceRequest.FromString,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler})]
    )
    if pem is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        key, _, certificate = pem.read_bytes().partition(b"-----BEGIN CERTIFICATE")
        pair = (key, b"-----BEGIN CERTIFICATE" + certificate)
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    try:
        yield port, spans, metadata
    finally:
        server.stop(None).wait(10)
