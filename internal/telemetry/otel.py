"""
Tracing with OpenTelemetry's SDK. Imported only when tracing is on: it costs a process 9 MiB.

`open_tracing` records the spans of `internal.telemetry.tracing` from then on. A collector that is
slow or away costs spans, never time; ending takes 5 s at most.
"""

from __future__ import annotations

import logging
import os
import ssl
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace import Tracer as OtelTracer

from internal.errors import Invalid
from internal.telemetry import semconv
from internal.telemetry.collector import Collector, Transport
from internal.telemetry.spanqueue import SpanQueue
from internal.telemetry.traceparent import TraceParent
from internal.telemetry.tracing import Kind, RecordedSpan, use_tracer

EXPORT_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
_KINDS = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.CONSUMER: SpanKind.CONSUMER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingOptions:
    """
    How to trace. `collector` None: nothing leaves the process, but tasks have trace ids.

    `process` is serve or worker. `console` prints spans as JSON on stderr instead.
    """

    process: str
    version: str
    sampling_rate: float
    collector: Collector | None
    console: bool = False


class Tracing:
    """A process that records spans; `close` it when nothing more is to be recorded."""

    def __init__(self, provider: TracerProvider, queue: SpanQueue | None) -> None:
        self._provider = provider
        self._queue = queue

    def counts(self) -> dict[str, int]:
        """What became of this process' spans so far, by `metrics.SPAN_ENDS`."""
        return {} if self._queue is None else self._queue.counts

    def close(self) -> None:
        """Send what waits, for 5 s at most."""
        use_tracer(None)
        # The library's own limit is 30 s and cannot be changed.
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(_CLOSE_SECONDS)


def open_tracing(options: TracingOptions, *, console: TextIO = sys.stderr) -> Tracing:
    """
    Record this process' spans from now on.

    Raises:
        Invalid: the exporter is not installed, or `tracing.ca_file` cannot be read.
    """
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # `SpanQueue` says what matters
    provider = TracerProvider(
        sampler=_sampler(options.sampling_rate),
        resource=Resource.create(
            {
                "service.name": "codeforge",
                "service.version": options.version,
                "codeforge.process": options.process,
            }
        ),
        shutdown_on_exit=False,
        span_limits=SpanLimits(max_span_attributes=64, max_span_attribute_length=1024),
    )
    exporter = _exporter(options, console)
    queue = None if exporter is None else SpanQueue(exporter)
    if queue is not None:
        provider.add_span_processor(queue)
    tracer = provider.get_tracer(
        "codeforge", instrumenting_library_version=options.version, schema_url=semconv.SCHEMA_URL
    )
    use_tracer(_Tracer(tracer))
    return Tracing(provider, queue)


def _sampler(rate: float) -> Sampler:
    """0 is nothing and 1 is everything; in between the caller's decision counts, if it made one."""
    if rate <= 0:
        return ALWAYS_OFF
    return ALWAYS_ON if rate >= 1 else ParentBased(TraceIdRatioBased(rate))


def _exporter(options: TracingOptions, console: TextIO) -> SpanExporter | None:
    if options.console:
        return ConsoleSpanExporter(
            out=console, formatter=lambda span: span.to_json(indent=None) + "\n"
        )
    if options.collector is None:
        return None
    if options.collector.transport is Transport.HTTP:
        return _http_exporter(options.collector)
    return _grpc_exporter(options.collector)


def _http_exporter(collector: Collector) -> SpanExporter:
    import requests  # noqa: PLC0415 -- not for gRPC
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )

    session = requests.Session()
    session.trust_env = False  # else REQUESTS_CA_BUNDLE wins over ca_file, and .netrc over headers
    return OTLPSpanExporter(
        endpoint=collector.traces_url,
        certificate_file=_authorities(collector),
        headers=dict(collector.headers),
        timeout=EXPORT_SECONDS,
        session=session,
    )


def _grpc_exporter(collector: Collector) -> SpanExporter:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it writes past our log
    try:
        import grpc  # noqa: PLC0415 -- an extra, and 12 MiB
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
    except ImportError as error:
        complaint = "otlp-grpc needs an extra: pip install 'codeforge[otlp-grpc]'"
        raise Invalid(f"{complaint}.", fields={"tracing.exporter": complaint}) from error
    credentials = None
    if not collector.is_plain:
        path = _authorities(collector)
        roots = None if path is None or Path(path).is_dir() else Path(path).read_bytes()
        credentials = grpc.ssl_channel_credentials(root_certificates=roots)
    return OTLPSpanExporter(
        endpoint=collector.url,
        insecure=collector.is_plain,
        credentials=credentials,
        headers=dict(collector.headers) or None,
        timeout=EXPORT_SECONDS,
    )


def _authorities(collector: Collector) -> str | None:
    """The file or directory of certificate authorities; the library would use its own bundle."""
    if collector.is_plain:
        return None
    if collector.ca_file is None:
        machine = ssl.get_default_verify_paths()
        return machine.cafile or machine.capath
    try:
        ssl.create_default_context(cafile=collector.ca_file)
    except (OSError, ssl.SSLError) as error:
        complaint = f"cannot be used: {error.strerror or 'it holds no certificate'}"
        raise Invalid(
            f"tracing.ca_file {complaint}.", fields={"tracing.ca_file": complaint}
        ) from error
    return collector.ca_file


class _Tracer:
    """See `tracing.Tracer`."""

    def __init__(self, tracer: OtelTracer) -> None:
        self._tracer = tracer

    def begin(
        self, name: str, kind: Kind, parent: TraceParent | None, start_nanos: int | None
    ) -> RecordedSpan:
        span = self._tracer.start_span(
            name, context=_context(parent), kind=_KINDS[kind], start_time=start_nanos
        )
        return _Recorded(span)


class _Recorded:
    """See `tracing.RecordedSpan`."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.is_recorded = span.is_recording()
        context = span.get_span_context()
        self.place: TraceParent | None = None
        if context.is_valid:
            self.place = TraceParent(
                format_trace_id(context.trace_id),
                format_span_id(context.span_id),
                context.trace_flags.sampled,
            )

    def set(self, attributes: Mapping[str, str | int | float | bool]) -> None:
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, error_type: str, message: str) -> None:
        self._span.set_attribute(semconv.ERROR_TYPE, error_type)
        self._span.set_status(Status(StatusCode.ERROR, message or None))

    def end(self) -> None:
        self._span.end()


def _context(parent: TraceParent | None) -> Context:
    if parent is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    remote = SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags
    )
    return set_span_in_context(NonRecordingSpan(remote), Context())
