"""
A real collector on loopback: it takes OTLP over HTTP and shows the spans it got.

Only decoding is a library's; the connection is that of the webhook receiver, so a test can make it
slow, deaf or broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.support.receiver import Received, Receiver

_LIMIT_SECONDS = 30

Attributes = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span as a collector sees it; times in nanoseconds."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    start: int
    end: int
    error: str | None
    """The message of a failed one."""
    attributes: Attributes = field(repr=False)
    resource: Attributes = field(repr=False)
    schema_url: str


def decode(body: bytes) -> list[Span]:
    """The spans of one export."""
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return spans_of(request)


def spans_of(request: ExportTraceServiceRequest) -> list[Span]:
    return [
        _span(message, _attributes(resource.resource.attributes), scope.schema_url)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for message in scope.spans
    ]


class Collector:
    """What was exported so far."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    @property
    def receiver(self) -> Receiver:
        return self._receiver

    @property
    def url(self) -> str:
        """The endpoint to configure."""
        return self._receiver.url("")

    @property
    def exports(self) -> Sequence[Received]:
        return self._receiver.requests

    @property
    def spans(self) -> list[Span]:
        """All of them, in the order of their ends, as far as one process sent them."""
        return [span for export in self.exports for span in decode(export.body)]

    async def until(self, enough: Callable[[list[Span]], bool]) -> list[Span]:
        """The spans, once they are *enough*; fails after 30 s with what there is."""
        deadline = asyncio.get_running_loop().time() + _LIMIT_SECONDS
        while not enough(spans := self.spans):
            names = sorted(span.name for span in spans)
            assert asyncio.get_running_loop().time() < deadline, f"only {names}"
            await asyncio.sleep(0.05)
        return spans

    async def named(self, *names: str) -> dict[str, Span]:
        """The newest span of each name, once all are there."""
        spans = await self.until(lambda spans: {span.name for span in spans} >= set(names))
        return {span.name: span for span in spans}


@contextlib.asynccontextmanager
async def collecting(tls: ssl.SSLContext | None = None) -> AsyncGenerator[Collector]:
    """A collector as long as the context lasts."""
    async with Receiver().listening(tls) as receiver:
        yield Collector(receiver)


def _span(message: Message, resource: Attributes, schema_url: str) -> Span:
    failed = message.status.code == Status.STATUS_CODE_ERROR
    return Span(
        name=message.name,
        trace_id=message.trace_id.hex(),
        span_id=message.span_id.hex(),
        parent_id=message.parent_span_id.hex(),
        kind=Message.SpanKind.Name(message.kind).removeprefix("SPAN_KIND_").lower(),
        start=message.start_time_unix_nano,
        end=message.end_time_unix_nano,
        error=message.status.message if failed else None,
        attributes=_attributes(message.attributes),
        resource=resource,
        schema_url=schema_url,
    )


def _attributes(pairs: Iterable[KeyValue]) -> Attributes:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> str | int | float | bool:
    kind = value.WhichOneof("value")
    found: str | int | float | bool = getattr(value, str(kind))
    return found
