"""A request with thousands of faults is refused in a few words."""

from __future__ import annotations

import json

import pytest

from internal.errors import Invalid, NotAvailable
from internal.server.complaints import parse
from internal.server.deps import KnownAgent, TaskRules
from internal.server.schema import CreateTask, Empty

RULES = TaskRules(agents={"codex": KnownAgent(built=False)}, default_agent="demo")


def refuse(**members: object) -> Invalid:
    with pytest.raises(Invalid) as caught:
        parse(Empty, json.dumps(members).encode())
    return caught.value


def test_the_first_fifty_are_named_and_the_rest_is_counted() -> None:
    """
    What one request costs to refuse does not grow with its faults.
    """
    error = refuse(**{f"unknown{number}": 1 for number in range(70_000)})

    assert list(error.fields) == [f"unknown{number}" for number in range(50)] + ["..."]
    assert error.fields["..."] == "and 69950 more"
    assert error.message.endswith("; and 69950 more.")
    assert len(error.message) < 5_000


def test_fifty_are_named_without_a_count() -> None:
    """
    Nothing is left to count.
    """
    error = refuse(**{f"unknown{number}": 1 for number in range(50)})

    assert len(error.fields) == 50
    assert "..." not in error.fields


def test_what_a_later_version_has_is_named_among_thousands() -> None:
    """
    The code `not_available` would be a riddle without the member it is about.
    """
    labels = {f"k{number}": 7 for number in range(1_000)}
    members = {"labels": labels, "config": {"cli": "codex"}}

    with pytest.raises(NotAvailable) as caught:
        parse(CreateTask, json.dumps(members).encode(), RULES)

    assert caught.value.fields["config.cli"] == "is an agent of a later version"
    assert len(caught.value.fields) == 51


def test_a_long_name_is_cut() -> None:
    """
    A member's name is the sender's and can be as long as a body; an answer cannot.
    """
    error = refuse(**{"x" * 100_000: 1})

    assert list(error.fields) == ["x" * 199 + "…"]
