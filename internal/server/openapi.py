"""Where api/openapi.yaml is: beside this file in a wheel, in the repository's api/ else."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


@cache
def openapi_yaml() -> bytes:
    """The description of this API, as it was written. Raises FileNotFoundError."""
    wheel = _HERE / "openapi.yaml"
    return (wheel if wheel.exists() else _HERE.parents[1] / "api" / "openapi.yaml").read_bytes()
