"""What of a `traceparent` is believed."""

from __future__ import annotations

import pytest

from internal.telemetry.traceparent import TraceParent, parse

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),  # a flag of level 2, about random ids
        (f"cc-{TRACE}-{SPAN}-01-what-will-be-some-day", True),
    ],
)
def test_what_is_well_formed_is_taken(text: str, sampled: bool) -> None:
    """
    A later version is read as far as this one goes.
    """
    assert parse(text) == TraceParent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        TRACE,
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-\uff10\uff11",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 1000}",
    ],
)
def test_what_is_malformed_is_no_trace(text: str | None) -> None:
    """
    As the specification asks: then a new trace begins.
    """
    assert parse(text) is None


def test_what_is_sent_on_can_be_read_again() -> None:
    """
    Also what came in a later version, which is sent on in ours.
    """
    known = TraceParent(TRACE, SPAN, sampled=True)

    assert parse(str(known)) == known
