"""What the models of request bodies have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationInfo

from internal.server.complaints import complain
from internal.server.deps import TaskRules


class Body(BaseModel):
    """A JSON object without unknown members, and of no other types than the ones said."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def no_controls(text: str) -> str:
    """A validator: what is shown on one line, or sent in one."""
    if not text.isprintable():
        raise complain("must not contain control characters")
    return text


def printable_ascii(text: str) -> str:
    """A validator: what goes into a header."""
    if not (text.isascii() and text.isprintable()):
        raise complain("must be of printable ASCII characters")
    return text


def rules_of(info: ValidationInfo) -> TaskRules:
    """What the body is checked against."""
    if not isinstance(info.context, TaskRules):
        raise TypeError("this body is checked against TaskRules")
    return info.context
