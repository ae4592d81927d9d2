"""What the models of request bodies have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from internal.server.complaints import complain
from internal.server.deps import TaskRules
from internal.server.query import read_time


class Body(BaseModel):
    """A JSON object without unknown members, and of no other types than the ones said."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _read_moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return read_time(value)
    except ValueError as error:
        raise complain(str(error)) from error


Moment = Annotated[datetime, BeforeValidator(_read_moment)]
"""An RFC 3339 time with an offset, as UTC."""


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
