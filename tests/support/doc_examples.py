"""
The examples of a page: its fenced blocks, and a judge of what a command printed.

A `console` block is a session: `$ command` (continued lines up to the next output as the shell
reads them), then what it prints. Shown output may leave lines out and, in JSON, show other values
than the run had; what must agree is every shown line in its order and every member with its type.
Ids that differ are remembered, so that a later command of the page means the object of this run.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

_FENCE = re.compile(r"^```([a-z]*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CUT = "..."
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; *language* is empty when none is named."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a session, and the lines it is shown to print."""

    command: str
    shown: tuple[str, ...]


@dataclass(slots=True)
class Judge:
    """Compares what is shown with what was printed, and learns what this run calls things."""

    names: dict[str, str] = field(default_factory=dict[str, str])
    """A value of the page -> the value of this run."""

    def translate(self, text: str) -> str:
        """*text* with what the page calls things replaced by what this run calls them."""
        for shown, real in self.names.items():
            text = text.replace(shown, real)
        return text

    def missing(self, shown: Sequence[str], printed: str) -> str | None:
        """The first shown line that was not printed behind the one before it; None: all were."""
        lines = iter(printed.splitlines())
        for line in shown:
            if line.strip() in {"", _CUT}:
                continue
            if not any(self._is_like(line, candidate) for candidate in lines):
                return line
        return None

    def _is_like(self, shown: str, printed: str) -> bool:
        if (one := _json(shown)) is not None and (other := _json(printed)) is not None:
            found: dict[str, str] = {}
            if _same_shape(one, other, found):
                self.names |= {k: v for k, v in found.items() if len(k) >= 8}
                return True
            return False
        pattern = ".*".join(_loosely(part) for part in self.translate(shown).split(_CUT))
        return re.fullmatch(pattern, printed.rstrip()) is not None


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page in Markdown, in order."""
    for match in _FENCE.finditer(page):
        yield Block(match[1], match[2])


def steps(session: str) -> Iterator[Step]:
    """The commands of a `console` block, each with what it is shown to print."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        lines = part.rstrip("\n").split("\n")
        taken = 1
        while taken < len(lines) and not _is_complete("\n".join(lines[:taken])):
            taken += 1
        yield Step("\n".join(lines[:taken]), tuple(lines[taken:]))


def _is_complete(command: str) -> bool:
    if command.endswith("\\"):
        return False
    try:
        shlex.split(command)
    except ValueError:  # a quotation goes on
        return False
    return True


def _json(line: str) -> Any:
    """The JSON of a line, behind `data: ` too; None when it is none."""
    try:
        value: object = json.loads(line.removeprefix("data: "))
    except ValueError:
        return None
    return cast("object", value) if isinstance(value, dict | list) else None


def _same_shape(shown: Any, printed: Any, found: dict[str, str]) -> bool:
    """Whether every shown member is there with its type; *found* gets texts that differ."""
    if isinstance(shown, dict):
        members = cast("dict[str, Any]", shown)
        return isinstance(printed, dict) and all(
            name in printed and _same_shape(value, printed[name], found)
            for name, value in members.items()
        )
    if isinstance(shown, list):
        values = cast("Sequence[Any]", shown)
        return isinstance(printed, list) and all(
            any(_same_shape(value, other, found) for other in cast("Sequence[Any]", printed))
            for value in values
        )
    if isinstance(shown, str):
        if isinstance(printed, str) and shown != printed:
            found[shown] = printed
        return isinstance(printed, str)
    if isinstance(shown, bool) or shown is None:
        return type(shown) is type(printed)
    return isinstance(printed, int | float)


def _loosely(text: str) -> str:
    """A pattern for *text* in which every number may be another one, and blanks any width."""
    words = [_NUMBER.sub(r"\\d+", re.escape(word)) for word in text.split()]
    lead = r"\s*" if text[:1].isspace() else ""
    tail = r"\s*" if text[-1:].isspace() else ""
    return lead + r"\s+".join(words) + tail
