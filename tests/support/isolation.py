"""The sandbox of the machine the tests run on, or why they must do without."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from internal.process.isolation import Isolation, Places, find_isolation

_found: list[Isolation] = []


async def isolation_here(directory: Path) -> Isolation:
    """What works here, tried once below *directory*."""
    if not _found:
        places = Places(
            data_dir=directory / "data",
            workspace_base=directory / "probe",
            user_home=Path.home(),
        )
        _found.append(await find_isolation("auto", places, environment=os.environ))
    return _found[0]


async def need_sandbox(directory: Path) -> Isolation:
    """The sandbox; the test is skipped, with the reason, where there is none."""
    isolation = await isolation_here(directory)
    if isolation.sandbox is None:
        pytest.skip(f"no sandbox here: {isolation.reason}")
    return isolation
