"""
Logs: structlog, JSON or console, with the request id and the task id on every line.

Redaction is the last step before rendering and looks at every text, also in nested values and
exceptions: values registered as secret, and what looks like one. Tracebacks never show local
variables.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from internal.telemetry.tracing import current_trace_id

_MAX_DEPTH = 8  # deeper values are shown as Python writes them; a value may contain itself

Redact = Callable[[str], str]


def configure(*, level: str, form: str, redact: Redact, stream: TextIO | None = None) -> None:
    """
    Set up logging for this process; a later call replaces it.

    *form* is `json` or `console`; *redact* is applied to every text of every line. The standard
    library's loggers (uvicorn, redis) go the same way.
    """
    out = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_trace,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    render: list[Processor] = [_redactor(redact), _renderer(form, out)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(_number(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_number(level))
    logging.getLogger("uvicorn.access").disabled = True  # the request middleware logs them
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def _add_trace(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Every line inside a trace names it, so that one finds the other."""
    del logger, method
    if (trace_id := current_trace_id()) is not None:
        event["trace_id"] = trace_id
    return event


def _renderer(form: str, out: TextIO) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _redactor(redact: Redact) -> Processor:
    def clean(value: object, depth: int = 0) -> object:
        if isinstance(value, int | float | None):
            return value
        if depth < _MAX_DEPTH and isinstance(value, Mapping):
            members = cast("Mapping[object, object]", value)
            return {redact(str(name)): clean(m, depth + 1) for name, m in members.items()}
        if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
            return [clean(member, depth + 1) for member in cast("Iterable[object]", value)]
        return redact(str(value))

    def process(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        del logger, method
        return {name: clean(value) for name, value in event.items()}

    return process


def _number(level: str) -> int:
    return logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
