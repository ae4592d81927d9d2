"""How long a model API asks to be left alone, as Claude Code tells it."""

from __future__ import annotations

import json

import pytest

from internal.agent.claude_output import ClaudeParser
from internal.agent.model import Ending, ExitStatus


@pytest.mark.parametrize(
    ("delays", "seconds"),
    [([2_000], 2), ([86_400_000], 86_400), ([86_400_001], None), ([2_000, 9e14], 2), ([0], None)],
    ids=str,
)
def test_a_delay_beyond_a_day_is_nonsense(delays: list[float], seconds: float | None) -> None:
    """
    Whoever brings an endpoint or fakes a line could make a run wait for ever.

    It would be due in a year that no calendar has, and be unreadable until then.
    """
    parser = ClaudeParser()
    for delay in delays:
        line = {"type": "system", "subtype": "api_retry", "retry_delay_ms": delay}
        parser.parse(json.dumps(line).encode())
    failed = {"type": "result", "is_error": True, "api_error_status": 429, "result": "busy"}
    parser.parse(json.dumps(failed).encode())

    result = parser.result(ExitStatus(code=1))

    assert result.ending is Ending.RATE_LIMITED
    assert result.retry_after_seconds == seconds
