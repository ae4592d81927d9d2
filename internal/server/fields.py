"""What the models of request bodies have in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from httpx2 import URL
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from internal.egress.url import parse_http_url
from internal.errors import Invalid, PolicyDenied
from internal.keys.model import is_name
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
    if text != text.strip():
        raise complain("must not begin or end with a space")
    return text


def rules_of(info: ValidationInfo) -> TaskRules:
    """What the body is checked against."""
    if not isinstance(info.context, TaskRules):
        raise TypeError("this body is checked against TaskRules")
    return info.context


def key_name(name: str) -> str:
    """A validator: the name of a registered key."""
    if not is_name(name):
        raise complain("must be 1 to 64 letters, digits, _ or -")
    return name


def http_url(url: str, check_host: Callable[[str], None]) -> URL:
    """
    The parts of a URL that may be called, as far as its text tells.

    *check_host* is one of the rules: it raises PolicyDenied. Raises a complaint.
    """
    try:
        parsed = parse_http_url(url)
        check_host(parsed.host)
    except Invalid as error:
        raise complain(f"is no usable URL: {error.message}") from error
    except PolicyDenied as error:
        raise complain(f"is refused: {error.message}") from error
    return parsed
