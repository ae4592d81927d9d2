"""
Blocks of bytes to lines of any length, in bounded memory.

A stream reader's own `readline` fails at a limit, and agents print lines of megabytes. Here a line
longer than the limit is delivered cut, with the count of what was dropped.
"""

from __future__ import annotations

from typing import NamedTuple

DEFAULT_MAX_LINE_BYTES = 8 * 1024 * 1024


class Line(NamedTuple):  # a tuple, because a flood makes millions of them
    """One line without its newline; `dropped_bytes` were cut off its end."""

    content: bytes
    dropped_bytes: int = 0


class LineSplitter:
    """Feed blocks as they come; what has no newline yet waits inside, at most *max_line_bytes*."""

    def __init__(self, max_line_bytes: int = DEFAULT_MAX_LINE_BYTES) -> None:
        self._max = max_line_bytes
        self._parts: list[bytes] = []
        self._kept_bytes = 0
        self._dropped_bytes = 0

    def feed(self, block: bytes) -> list[Line]:
        """The lines that *block* completes."""
        first, *rest = block.split(b"\n")
        self._keep(first)
        if not rest:
            return []
        lines = [self._take()]
        lines += [Line(part[: self._max], max(0, len(part) - self._max)) for part in rest[:-1]]
        self._keep(rest[-1])
        return lines

    def flush(self) -> Line | None:
        """The last line when the stream ended without a newline."""
        return self._take() if self._kept_bytes or self._dropped_bytes else None

    def _keep(self, part: bytes) -> None:
        kept = part[: self._max - self._kept_bytes]
        if kept:
            self._parts.append(kept)
            self._kept_bytes += len(kept)
        self._dropped_bytes += len(part) - len(kept)

    def _take(self) -> Line:
        line = Line(b"".join(self._parts), self._dropped_bytes)
        self._parts.clear()
        self._kept_bytes = self._dropped_bytes = 0
        return line
