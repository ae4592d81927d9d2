"""Lines of the log: one form, ids on each, no secret in any."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Generator
from typing import Any

import pytest
import structlog

from internal.redact import Redactor
from internal.telemetry.logs import configure

SECRET = "hunter22-hunter22"  # noqa: S105 - made up


@pytest.fixture
def log_lines() -> Generator[io.StringIO]:
    """What is logged as JSON while the test runs; the process' logging is put back after it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure(level="info", form="json", redact=Redactor([SECRET]).redact, stream=stream)
    yield stream
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_an_event_with_fields(log_lines: io.StringIO) -> None:
    """
    One JSON object per line: the event's name, its fields, level and time in UTC.
    """
    structlog.get_logger("x").info("task.claimed", waited_seconds=1.5, again=False, worker=None)

    line = _only(log_lines)
    assert line["event"] == "task.claimed"
    assert (line["waited_seconds"], line["again"], line["worker"]) == (1.5, False, None)
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_ids_are_on_every_line(log_lines: io.StringIO) -> None:
    """
    What is bound for a request or a task is on lines of libraries too.
    """
    with structlog.contextvars.bound_contextvars(request_id="r1", task_id="t1"):
        structlog.get_logger("x").info("ours")
        logging.getLogger("redis").warning("theirs: %s", "away")

    ours, theirs = _lines(log_lines)
    assert (ours["request_id"], ours["task_id"]) == ("r1", "t1")
    assert (theirs["request_id"], theirs["event"]) == ("r1", "theirs: away")
    assert theirs["level"] == "warning"


def test_no_secret_reaches_a_line(log_lines: io.StringIO) -> None:
    """
    Redaction is the last step: message, fields at any depth, names of fields, objects, bytes.
    """
    itself: list[Any] = [SECRET]
    itself.append(itself)
    structlog.get_logger("x").info(
        f"got {SECRET}",
        nested={"list": [{"x": SECRET}, (SECRET,), {SECRET}], SECRET: 1},
        raw=SECRET.encode(),
        error=ValueError(SECRET),
        itself=itself,
        url="https://user:pw123456@host/x",
    )
    logging.getLogger("uvicorn.error").error("theirs %s", SECRET, extra={"more": SECRET})

    text = log_lines.getvalue()
    assert "hunter22" not in text
    assert "pw123456" not in text
    assert len(_lines(log_lines)) == 2


def test_tracebacks_are_shown_without_secrets_and_locals(log_lines: io.StringIO) -> None:
    """
    A traceback names files and lines; the values of variables stay where they are.
    """

    def fail() -> None:
        secret_in_a_variable = "another-value"  # noqa: S105 - made up
        raise RuntimeError(f"refused {SECRET} {len(secret_in_a_variable)}")

    for logger in (structlog.get_logger("x"), logging.getLogger("theirs")):
        try:
            fail()
        except RuntimeError:
            logger.exception("it broke")

    text = log_lines.getvalue()
    assert "another-value" not in text
    assert "hunter22" not in text
    for line in _lines(log_lines):
        assert line["exception"].count("RuntimeError: refused *** 13") == 1


def test_the_level_is_a_limit(log_lines: io.StringIO) -> None:
    """
    Less than the configured level is dropped, of ours and of libraries.
    """
    structlog.get_logger("x").debug("no")
    logging.getLogger("theirs").debug("no")

    assert log_lines.getvalue() == ""


def test_console_lines_are_text_without_colours_in_a_file(log_lines: io.StringIO) -> None:
    """
    A later configuration replaces the first; colours are for terminals.
    """
    stream = io.StringIO()
    configure(level="debug", form="console", redact=Redactor([SECRET]).redact, stream=stream)

    structlog.get_logger("x").debug("worker.started", slots=3, token=SECRET)

    assert log_lines.getvalue() == ""
    assert "worker.started" in stream.getvalue()
    assert "slots=3" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
    assert "hunter22" not in stream.getvalue()


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def _only(stream: io.StringIO) -> dict[str, Any]:
    (line,) = _lines(stream)
    return line
