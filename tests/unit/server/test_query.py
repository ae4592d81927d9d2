"""Query parameters are checked like bodies."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from starlette.requests import Request

from internal.errors import Invalid
from internal.server.query import Query, read_cursor, read_number, task_filter
from internal.task.state import State


def query(text: str) -> Query:
    return Query(Request({"type": "http", "query_string": text.encode(), "headers": []}))


def test_a_filter_takes_every_parameter() -> None:
    """
    status may be repeated; a time's + survives being a space in a query.
    """
    given = query(
        "status=pending&status=failed&repo_url=https%3A%2F%2Fe.com%2Fr&agent=demo"
        "&label=team:a:b&q=fix&since=2030-01-31T12:00:00+01:00"
    )

    wanted = task_filter(given, ["demo"])
    given.finish()

    assert wanted.status == {State.PENDING, State.FAILED}
    assert wanted.repo_url == "https://e.com/r"
    assert wanted.agent == "demo"
    assert wanted.label == ("team", "a:b")
    assert wanted.text == "fix"
    assert wanted.since == datetime(2030, 1, 31, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("status=nope", "status"),
        ("status=", "status"),
        ("agent=nope", "agent"),
        ("label=nocolon", "label"),
        ("label=a:b&label=c:d", "label"),
        ("q=", "q"),
        ("repo_url=", "repo_url"),
        ("since=yesterday", "since"),
        ("since=2030-01-31T12:00:00", "since"),
        ("stauts=failed", "stauts"),
    ],
)
def test_a_bad_parameter_is_named(text: str, name: str) -> None:
    """
    A misspelt filter must not show everything.
    """
    given = query(text)

    task_filter(given, ["demo"])
    with pytest.raises(Invalid) as refused:
        given.finish()

    assert list(refused.value.fields) == [name]


def test_all_bad_parameters_come_at_once() -> None:
    """
    One answer names them all.
    """
    given = query("status=x&since=y&limit=0&z=1")

    task_filter(given, [])
    given.one("limit", read_number(1, 200))
    with pytest.raises(Invalid) as refused:
        given.finish()

    assert set(refused.value.fields) == {"status", "since", "limit", "z"}


@pytest.mark.parametrize("text", ["0", "201", "-1", "1.5", "x", "", "٣", "9" * 40])
def test_a_number_out_of_its_range_is_refused(text: str) -> None:
    """
    Only digits, only in the range.
    """
    with pytest.raises(ValueError, match="from 1 to 200"):
        read_number(1, 200)(text)


@pytest.mark.parametrize("text", ["x", "1", ".a", "1.", "1.a:b", "-1.a", "1.A"])
def test_a_cursor_that_is_none_of_ours_is_refused(text: str) -> None:
    """
    A cursor is given back as it was received, or not at all.
    """
    with pytest.raises(ValueError, match="next_cursor"):
        read_cursor(text)
