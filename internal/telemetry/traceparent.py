"""
W3C Trace Context: the one line that ties our spans to those of whoever called us.

Pure. Only `traceparent` is taken and given; `tracestate` and `baggage` are other systems' texts,
and nothing here needs them. Source: https://www.w3.org/TR/trace-context/ (level 2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z", re.ASCII)
_LONGEST = 512  # a later version may add members; nobody needs more of them than this
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A span that others hang on: its trace, its own id, and whether anybody records it."""

    trace_id: str
    span_id: str
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def parse(text: str | None) -> TraceParent | None:
    """What *text* says, or None when it is not well formed: then there is no caller's trace."""
    if text is None or len(text) > _LONGEST:
        return None
    match = _FORM.match(text)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    is_known = version != "ff" and (version != "00" or more is None)
    if not is_known or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceParent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))
