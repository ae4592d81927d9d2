"""A tracer that writes down what it is told, for tests that need no OpenTelemetry."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from internal.telemetry.traceparent import TraceParent
from internal.telemetry.tracing import Kind, RecordedSpan, use_tracer

TRACE = "0af7651916cd43dd8448eb211c80319c"


@dataclass
class Noted:
    """A span that was begun, and what became of it."""

    name: str
    kind: Kind
    parent: TraceParent | None
    start: int | None
    place: TraceParent | None
    attributes: dict[str, object] = field(default_factory=dict[str, object])
    failure: tuple[str, str] | None = None
    ended: bool = False
    is_recorded: bool = True

    def set(self, attributes: Mapping[str, str | int | float | bool]) -> None:
        self.attributes |= attributes

    def rename(self, name: str) -> None:
        self.name = name

    def fail(self, error_type: str, message: str) -> None:
        self.failure = (error_type, message)

    def end(self) -> None:
        self.ended = True


class Notebook:
    """A tracer that keeps what it is told."""

    def __init__(self) -> None:
        self.spans: list[Noted] = []

    def begin(
        self, name: str, kind: Kind, parent: TraceParent | None, start_nanos: int | None
    ) -> RecordedSpan:
        number = len(self.spans) + 1
        place = TraceParent(parent.trace_id if parent else TRACE, f"{number:016x}", sampled=True)
        self.spans.append(Noted(name, kind, parent, start_nanos, place))
        return self.spans[-1]

    def named(self, name: str) -> Noted:
        """The only span of that name."""
        (found,) = (span for span in self.spans if span.name == name)
        return found


@contextmanager
def noting() -> Generator[Notebook]:
    """Tracing is on, and this is where it goes."""
    made = Notebook()
    use_tracer(made)
    try:
        yield made
    finally:
        use_tracer(None)
