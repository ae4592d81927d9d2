"""
Spans on their way out: a bounded queue that drops and counts, and never holds anybody up.

The library's batches drop silently and log each failed export. Here a span that finds no room is
counted, an exporter that begins to fail is told once, and so is that it works again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Lock

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from internal.telemetry.tracing import SPAN_ENDS

log = structlog.get_logger(__name__)

MOST_WAITING = 2048
"""Spans; about 2 MiB."""
_BATCH = 512
PAUSE_MILLIS = 1000
"""Between exports, so that spans go in batches."""
_TOLD_EACH_SECONDS = 60.0


class _Tally:
    """Counts shared by the thread that exports and all that end spans."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting = 0
        self._became: dict[str, int] = dict.fromkeys(SPAN_ENDS, 0)

    def take(self) -> bool:
        """Whether there is room for one more."""
        with self._lock:
            if self._waiting >= MOST_WAITING:
                self._became["dropped"] += 1
                return False
            self._waiting += 1
            return True

    def gone(self, count: int, *, exported: bool) -> None:
        with self._lock:
            self._waiting -= count
            self._became["exported" if exported else "failed"] += count

    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(self._became)


class SpanQueue(SpanProcessor):
    """Takes ended spans in no time; a thread of its own exports them in batches."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._tally = _Tally()
        self._told_at = -_TOLD_EACH_SECONDS
        self._batches: SpanProcessor = BatchSpanProcessor(
            _Watched(exporter, self._tally),
            max_queue_size=MOST_WAITING,
            schedule_delay_millis=PAUSE_MILLIS,
            max_export_batch_size=_BATCH,
        )

    @property
    def counts(self) -> dict[str, int]:
        """What became of the recorded spans so far, by `SPAN_ENDS`."""
        return self._tally.counts()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """See `SpanProcessor`."""

    def on_end(self, span: ReadableSpan) -> None:
        """See `SpanProcessor`."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._tally.take():
            self._batches.on_end(span)
        elif time.monotonic() - self._told_at >= _TOLD_EACH_SECONDS:
            self._told_at = time.monotonic()
            log.warning("tracing.dropping", dropped=self.counts["dropped"])

    def shutdown(self) -> None:
        """See `SpanProcessor`."""
        self._batches.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """See `SpanProcessor`."""
        return self._batches.force_flush(timeout_millis)


class _Watched(SpanExporter):
    """An exporter whose results are counted, and its changes of mood logged."""

    def __init__(self, exporter: SpanExporter, tally: _Tally) -> None:
        self._exporter = exporter
        self._tally = tally
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result, reason = SpanExportResult.FAILURE, "refused or unreachable"
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 -- a defect of an exporter costs its spans only
            reason = type(error).__name__
        exported = result is SpanExportResult.SUCCESS
        self._tally.gone(len(spans), exported=exported)
        if self._fails == exported:
            self._fails = not exported
            if exported:
                log.info("tracing.export_works")
            else:
                log.warning("tracing.export_fails", reason=reason, spans=len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
