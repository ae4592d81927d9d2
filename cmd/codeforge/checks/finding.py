"""What a check found, and how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`warn` works, though not as it should; `fail` does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report; `advice` says what to do, empty when nothing is to be done."""

    name: str
    level: Level
    message: str
    advice: str = ""


def ok(name: str, message: str) -> Finding:
    """All is well with *name*."""
    return Finding(name=name, level=Level.OK, message=message)


def warn(name: str, message: str, advice: str) -> Finding:
    """*name* works, but the operator should know."""
    return Finding(name=name, level=Level.WARN, message=message, advice=advice)


def fail(name: str, message: str, advice: str) -> Finding:
    """*name* keeps CodeForge from working."""
    return Finding(name=name, level=Level.FAIL, message=message, advice=advice)
