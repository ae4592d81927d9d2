"""Spans as the rest of the code sees them; nothing here needs OpenTelemetry."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator

import pytest

from internal.errors import NotFound
from internal.redact import KNOWN
from internal.telemetry.tracing import (
    Kind,
    OpenSpan,
    continue_from,
    current_trace_id,
    current_traceparent,
    past_span,
    span,
)
from tests.support.notebook import TRACE, Notebook, noting

CALLER = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def notebook() -> Generator[Notebook]:
    """Tracing is on, and this is where it goes."""
    with noting() as made:
        yield made


def test_without_tracing_a_callers_trace_is_handed_on() -> None:
    """
    Spans are free and do nothing, and what came in still goes out.
    """
    with continue_from(CALLER), span("a") as first, span("b", task="t1") as second:
        first.set(a=1)
        second.fail("timeout")
        said = current_traceparent()

    assert first is second
    assert said == CALLER
    assert current_traceparent() is None


def test_spans_hang_on_one_another(notebook: Notebook) -> None:
    """
    The first on the caller's, the next on the one around it; behind the block all is as before.
    """
    with continue_from(CALLER), span("outer", Kind.SERVER):
        with span("inner"):
            assert current_trace_id() == TRACE
        said = current_traceparent()

    outer, inner = notebook.spans
    assert str(outer.parent) == CALLER
    assert inner.parent == outer.place
    assert said == str(outer.place)
    assert (outer.kind, inner.kind) == (Kind.SERVER, Kind.INTERNAL)
    assert outer.ended
    assert inner.ended
    assert current_traceparent() is None


async def test_tasks_of_asyncio_do_not_mix(notebook: Notebook) -> None:
    """
    Two runs of one worker are in two traces, whoever is awake.
    """

    async def run(trace: str) -> str | None:
        with continue_from(f"00-{trace}-b7ad6b7169203331-01"), span(trace):
            await asyncio.sleep(0)
            return current_trace_id()

    traces = [f"{number:032x}" for number in range(1, 20)]

    assert await asyncio.gather(*(run(trace) for trace in traces)) == traces
    assert [entry.parent.trace_id for entry in notebook.spans if entry.parent] == traces


def test_an_error_that_leaves_the_block_is_told_and_passes(notebook: Notebook) -> None:
    """
    With the code by which callers decide; a cancellation is one, too.
    """
    with pytest.raises(NotFound), span("a"):
        raise NotFound("There is no such task.", code="repo_not_found")
    with pytest.raises(asyncio.CancelledError), span("b"):
        raise asyncio.CancelledError

    assert [entry.failure for entry in notebook.spans] == [
        ("repo_not_found", "There is no such task."),
        ("CancelledError", ""),
    ]
    assert all(entry.ended for entry in notebook.spans)


def test_no_secret_becomes_an_attribute(notebook: Notebook) -> None:
    """
    Every text passes the redactor and is cut: in attributes, names and messages.
    """
    with KNOWN.using("hunter22-hunter22"), span("a", text="x hunter22-hunter22 y") as current:
        current.set(more="hunter22-hunter22", number=1, nothing=None)
        current.rename("for hunter22-hunter22")
        current.fail("refused", "wrong hunter22-hunter22")
        OpenSpan("tool hunter22-hunter22", call="hunter22-hunter22").end("failed")
        past_span("waited", 1.0, long="x" * 10_000)

    first, tool, waited = notebook.spans
    assert first.attributes == {"text": "x *** y", "more": "***", "number": 1}
    assert (first.name, first.failure) == ("for ***", ("refused", "wrong ***"))
    assert (tool.name, tool.attributes, tool.parent) == ("tool ***", {"call": "***"}, first.place)
    assert len(str(waited.attributes["long"])) == 256


def test_a_wait_that_is_over_begins_in_the_past(notebook: Notebook) -> None:
    """
    And a clock that went backwards does not make it end before it began.
    """
    past_span("a", 10.0)
    past_span("b", -10.0)

    first, second = notebook.spans
    assert first.start is not None
    assert second.start is not None
    assert second.start - first.start >= 10_000_000_000
    assert first.ended
    assert second.ended


def test_without_tracing_no_tracer_is_imported() -> None:
    """
    Server and worker cost what they cost before; redis-py, which imports the library wherever it is
    installed, finds that it is not, as do others what only a terminal needs.
    """
    program = (
        "import sys, os\n"
        "from codeforge import lean\n"
        "lean.leave_out(['serve'])\n"
        "import codeforge.commands.serve, codeforge.commands.worker, codeforge.commands.up\n"
        "from codeforge import runtime\n"
        "loaded = runtime.load({'HOME': os.environ['HOME']})\n"
        "with runtime.tracing(loaded.settings, 'serve') as tracing: assert tracing is None\n"
        "theirs = ('opentelemetry.', 'google.protobuf', 'grpc', 'requests', 'rich.', 'pygments')\n"
        "print([name for name in sys.modules if name.startswith(theirs)])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"
