"""The members of a webhook's body that describe a run."""

from __future__ import annotations

import json
from typing import cast

import pytest

from internal.webhook.model import run_members


def members(text: str) -> dict[str, object]:
    """The members as a reader sees them."""
    return cast("dict[str, object]", json.loads('{"first":1' + text + "}"))


def test_what_is_given_is_in_the_body_and_nothing_else() -> None:
    """
    The text continues an object; `error` is the failure's message.
    """
    failure = {"reason": "timeout", "message": "timed out after 300 s"}

    assert run_members() == ""
    assert members(run_members(result="done ü", changes={"insertions": 1}, usage={"turns": 2})) == {
        "first": 1,
        "result": "done ü",
        "changes_summary": {"insertions": 1},
        "usage": {"turns": 2},
    }
    assert members(run_members(failure=failure)) == {
        "first": 1,
        "error": "timed out after 300 s",
        "failure": failure,
    }


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        ("x" * 16_384, 16_384),
        ("x" * 16_385, 16_384),
        ("€" * 6_000, 5_461),  # 3 bytes each: 16,384 / 3
    ],
)
def test_a_long_result_is_cut_between_characters(result: str, kept: int) -> None:
    """
    At most 16 KiB of UTF-8 are sent, and the body says when something is missing.
    """
    body = members(run_members(result=result))

    assert body["result"] == result[:kept]
    assert body.get("result_truncated", False) is (len(result) > kept)


def test_half_a_surrogate_pair_does_not_break_the_body() -> None:
    """
    An agent may print what UTF-8 cannot carry.
    """
    text = run_members(result="a\ud800b", failure={"message": "\udfff"})

    assert members(text)["result"] == "a?b"
    text.encode()
