"""The body of a request to let runs go on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from internal.server.fields import Body


class ReleaseBody(Body):
    """The body of `POST /control/release`."""

    scope: Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\s]+$")]
