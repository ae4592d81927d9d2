"""
What really happened, kept outside the Redis that is tortured: one file for each process.

A line is one `write`, so a process that is killed leaves whole lines only, and none is lost with
it. Times are CLOCK_MONOTONIC, which all processes of a machine share. It knows nothing of the
project, because workers of another version write it, too.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """One fact: `kind` of it, when, in which process, and what else is known."""

    kind: str
    at: float
    pid: int
    members: dict[str, Any]

    @property
    def claim(self) -> str:
        return str(self.members["claim"])

    @property
    def task(self) -> str:
        return str(self.members["task"])


class Ledger:
    """This process' file in *directory*."""

    def __init__(self, directory: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(directory / f"{os.getpid()}.jsonl", flags, 0o600)

    def write(self, kind: str, *, at: float | None = None, **members: object) -> None:
        """Note a fact; *at* is when it was true, if that is not now."""
        when = time.monotonic() if at is None else at
        line = {"kind": kind, "at": when, "pid": os.getpid(), "members": members}
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        os.close(self._file)


def read_ledger(directory: Path) -> list[Line]:
    """What all processes wrote, by time."""
    lines = [
        Line(**json.loads(text))
        for file in sorted(directory.glob("*.jsonl"))
        for text in file.read_text(encoding="utf-8").splitlines()
    ]
    return sorted(lines, key=lambda line: line.at)
