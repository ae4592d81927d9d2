"""Events fit to be stored: without secrets, within a size."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internal.agent.clip import clean, coarse, cut_text, encoded_bytes
from internal.agent.model import AgentEvent, EventKind

SECRET = "sk-canary-0123456789-canary"  # noqa: S105 - opens nothing
LIMIT = 1_000

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=40,
)


def redact(text: str) -> str:
    """A stand-in for the real redaction: one needle."""
    return text.replace(SECRET, "[redacted]")


def event(data: dict[str, Any], raw: dict[str, Any] | str | None = None) -> AgentEvent:
    """A tool call with any data."""
    return AgentEvent(kind=EventKind.TOOL_USE, data=data, raw=raw)


def test_secrets_go_from_everywhere() -> None:
    """From nested values, names of members, and the raw line."""
    nested = {"a": [{SECRET: f"key={SECRET}"}], "n": 1}

    cleaned = clean(event({"input": nested}, raw={"x": nested}), limit_bytes=LIMIT, redact=redact)

    assert SECRET not in json.dumps([cleaned.data, cleaned.raw])
    assert cleaned.data == {"input": {"a": [{"[redacted]": "key=[redacted]"}], "n": 1}}


@pytest.mark.parametrize("before", range(LIMIT - 80, LIMIT + 20, 3))
def test_a_cut_never_leaves_half_a_secret(before: int) -> None:
    """Wherever the limit falls in it."""
    text = "x" * before + SECRET + "y" * 100_000

    cleaned = clean(event({"text": text}), limit_bytes=LIMIT, redact=redact)

    assert "sk-can" not in cleaned.data["text"]
    assert cleaned.data["truncated"] is True


@pytest.mark.parametrize("before", range(LIMIT + 16_000, LIMIT + 16_400, 7))
def test_shrinking_by_redaction_brings_no_half_secret_in(before: int) -> None:
    """What lies behind the part that was searched never moves into what is shown."""
    text = SECRET * (before // len(SECRET)) + "x" * (before % len(SECRET)) + SECRET

    cleaned = clean(event({"text": text + "y" * 50_000}), limit_bytes=LIMIT, redact=redact)

    assert "canary" not in cleaned.data["text"]


def test_a_small_event_stays_as_it_is() -> None:
    """Nothing is added to it."""
    small = event({"id": "1", "name": "Bash", "input": {"command": "ls"}}, raw={"type": "x"})

    assert clean(small, limit_bytes=LIMIT, redact=redact) == small


def test_many_middling_strings_are_cut_together() -> None:
    """The limit is on the whole."""
    many = {"input": {f"member{number}": "x" * 100 for number in range(100)}, "name": "Edit"}

    cleaned = clean(event(many), limit_bytes=LIMIT, redact=redact)

    assert encoded_bytes(cleaned.data) <= LIMIT
    assert cleaned.data["name"] == "Edit"
    assert cleaned.data["truncated"] is True


def test_a_long_raw_line_is_left_out() -> None:
    """Whole or not at all: over 16 KiB it goes."""
    long = event({"text": "a"}, raw={"text": "x" * 20_000})

    assert clean(long, limit_bytes=LIMIT, redact=redact).raw is None


def test_endless_nesting_is_ended() -> None:
    """Whoever encodes it later must not run out of stack."""
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"a": deep}

    cleaned = clean(event({"input": deep}), limit_bytes=LIMIT, redact=redact)

    assert "nested too deep" in json.dumps(cleaned.data)


def test_text_is_cut_by_bytes_between_characters() -> None:
    """Half a character is no character."""
    assert cut_text("é" * 10, limit_bytes=5, redact=redact) == "éé"


@given(data=st.dictionaries(st.sampled_from(["id", "name", "input", "text"]), json_values))
def test_any_data_fits(data: dict[str, Any]) -> None:
    """And stays strict JSON."""
    cleaned = clean(event(data), limit_bytes=300, redact=redact)

    assert encoded_bytes(cleaned.data) <= 300
    json.dumps(cleaned.data, allow_nan=False)


@given(data=st.dictionaries(st.sampled_from(["id", "name", "input", "text"]), json_values))
def test_holding_an_event_changes_nothing_of_what_is_shown(data: dict[str, Any]) -> None:
    """`coarse` only spares memory."""
    held = coarse(event(data), limit_bytes=LIMIT)

    shown = clean(held, limit_bytes=LIMIT, redact=redact)

    assert shown == clean(event(data), limit_bytes=LIMIT, redact=redact)


def test_coarse_bounds_what_is_held() -> None:
    """Many strings, each short, can be long together."""
    huge = event({"input": {str(number): "x" * 100 for number in range(50_000)}, "id": "7"})

    held = coarse(huge, limit_bytes=LIMIT)

    assert held.data == {"input": "[too large]", "id": "7", "truncated": True}
