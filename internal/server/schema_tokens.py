"""The body of a request for a new API token."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from internal.access.model import is_name
from internal.server.complaints import complain
from internal.server.fields import Body, Moment
from internal.server.query import read_tenant


def _check_name(name: str) -> str:
    if not is_name(name):
        raise complain("must be 1 to 64 of A-Z, a-z, 0-9, _ and -")
    return name


def _check_tenant(name: str) -> str:
    try:
        return read_tenant(name)
    except ValueError as error:
        raise complain(str(error)) from error


class CreateToken(Body):
    """The body of `POST /tokens`."""

    name: Annotated[str, AfterValidator(_check_name)]
    scopes: Annotated[list[Literal["read", "tasks", "admin"]], Field(min_length=1, max_length=3)]
    tenant: Annotated[str, AfterValidator(_check_tenant)] | None = None
    expires_at: Moment | None = None
