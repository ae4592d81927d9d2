"""
Spans: what happened when, in one trace from the HTTP request to the webhook.

This file is all that other code sees. It never imports OpenTelemetry: `internal.telemetry.otel`
does when tracing is on, and until then a span is one shared object that does nothing. The
caller's `traceparent` is handed on in either case, so a trace of others does not end here.

Every text that becomes an attribute passes the process' redactor and is cut.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from enum import StrEnum
from types import TracebackType
from typing import Protocol

from internal.redact import KNOWN
from internal.telemetry.traceparent import TraceParent, parse

Value = str | int | float | bool | None
"""Of an attribute; None leaves it out."""

SPAN_ENDS = ("exported", "failed", "dropped")
"""What becomes of a recorded span: `failed` was not taken, `dropped` found no room."""

_LONGEST_TEXT = 256


class Kind(StrEnum):
    """Which side of a call a span is: as OpenTelemetry names it."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    CONSUMER = "consumer"


class Span(Protocol):
    """A span that has begun."""

    def set(self, **attributes: Value) -> None:
        """Add attributes; later ones win."""
        ...

    def rename(self, name: str) -> None:
        """Give it a better name than it began with."""
        ...

    def fail(self, error_type: str, message: str = "") -> None:
        """
        Say that it ended badly; *error_type* is one of few words, *message* is for a person.
        """
        ...


class RecordedSpan(Protocol):
    """What a tracer makes: the same in plain values, already redacted."""

    @property
    def place(self) -> TraceParent | None:
        """What others hang on it by; None when it has no place in a trace."""
        ...

    @property
    def is_recorded(self) -> bool:
        """False when its trace is not sampled: then nobody will see what it is told."""
        ...

    def set(self, attributes: Mapping[str, str | int | float | bool]) -> None: ...

    def rename(self, name: str) -> None: ...

    def fail(self, error_type: str, message: str) -> None: ...

    def end(self) -> None: ...


class Tracer(Protocol):
    """Whoever records spans; `internal.telemetry.otel` has the one there is."""

    def begin(
        self, name: str, kind: Kind, parent: TraceParent | None, start_nanos: int | None
    ) -> RecordedSpan: ...


class _State:
    tracer: Tracer | None = None


_place: ContextVar[TraceParent | None] = ContextVar("trace", default=None)


def use_tracer(tracer: Tracer | None) -> None:
    """Record the spans of this process with *tracer* from now on; None: record none."""
    _State.tracer = tracer


def is_on() -> bool:
    """Whether spans are recorded at all."""
    return _State.tracer is not None


def current_traceparent() -> str | None:
    """What to send along, so that others hang their spans on ours (or on our caller's)."""
    place = _place.get()
    return None if place is None else str(place)


def current_trace_id() -> str | None:
    """The trace that this code runs in, 32 hexadecimal digits."""
    place = _place.get()
    return None if place is None else place.trace_id


@contextmanager
def continue_from(traceparent: str | None) -> Generator[None]:
    """Be part of the trace that *traceparent* names; of none when it names none."""
    before = _place.get()
    _place.set(parse(traceparent))
    try:
        yield
    finally:
        _place.set(before)


def span(
    name: str, kind: Kind = Kind.INTERNAL, /, **attributes: Value
) -> AbstractContextManager[Span]:
    """
    A span around the `with` block; spans and outgoing calls inside hang on it.

    An exception that leaves the block makes it a failed one, with the exception's code or class,
    and passes. Free when tracing is off.
    """
    tracer = _State.tracer
    return _OFF if tracer is None else _Around(tracer, name, kind, attributes)


def past_span(name: str, seconds: float, /, **attributes: Value) -> None:
    """A span that ended just now and took *seconds*: a wait that nobody watched."""
    tracer = _State.tracer
    if tracer is not None:
        start = time.time_ns() - int(max(0.0, seconds) * 1e9)
        begun = tracer.begin(name, Kind.INTERNAL, _place.get(), start)
        _set(begun, attributes)
        begun.end()


class OpenSpan:
    """A span without a block: it ends when `end` is called. Nothing hangs on it."""

    def __init__(self, name: str, /, **attributes: Value) -> None:
        tracer = _State.tracer
        self._span: RecordedSpan | None = None
        if tracer is not None:
            self._span = tracer.begin(_text(name), Kind.INTERNAL, _place.get(), None)
            _set(self._span, attributes)

    def end(self, error_type: str | None = None) -> None:
        """End it, as a failed one when there is an *error_type*. Call it once."""
        if self._span is not None:
            if error_type is not None:
                self._span.fail(error_type, "")
            self._span.end()


class _Around:
    """One recorded span as a context manager, and as the `Span` inside it."""

    def __init__(
        self, tracer: Tracer, name: str, kind: Kind, attributes: Mapping[str, Value]
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._attributes = attributes
        self._before: TraceParent | None = None
        self._span: RecordedSpan | None = None

    def __enter__(self) -> Span:
        self._before = _place.get()
        self._span = self._tracer.begin(self._name, self._kind, self._before, None)
        _set(self._span, self._attributes)
        _place.set(self._span.place or self._before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _place.set(self._before)
        if self._span is not None:
            if error is not None:
                self.fail(_error_type(error), getattr(error, "message", ""))
            self._span.end()

    def set(self, **attributes: Value) -> None:
        if self._span is not None:
            _set(self._span, attributes)

    def rename(self, name: str) -> None:
        if self._span is not None:
            self._span.rename(_text(name))

    def fail(self, error_type: str, message: str = "") -> None:
        if self._span is not None:
            self._span.fail(error_type, _text(message))


class _Off:
    """The span of a process that records none."""

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def set(self, **attributes: Value) -> None:
        del attributes

    def rename(self, name: str) -> None:
        del name

    def fail(self, error_type: str, message: str = "") -> None:
        del error_type, message


_OFF = _Off()


def _set(span: RecordedSpan, attributes: Mapping[str, Value]) -> None:
    if not span.is_recorded:  # most are not, and redaction is not free
        return
    span.set(
        {
            name: _text(value) if isinstance(value, str) else value
            for name, value in attributes.items()
            if value is not None
        }
    )


def _text(value: str) -> str:
    return KNOWN.redact(value)[:_LONGEST_TEXT]  # in this order: half a secret is not found


def _error_type(error: BaseException) -> str:
    """The code by which callers decide; the class of what has none."""
    code = getattr(error, "error_code", None)
    return code if isinstance(code, str) else type(error).__name__.lstrip("_")
