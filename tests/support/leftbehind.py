"""Every test fails that leaves a process, or a file in the checkout or the user's data dir."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_END_SECONDS = 10
_POLL_SECONDS = 0.01
_DATA = Path.home() / ".local" / "share" / "codeforge"


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """
    Children of this process that were not there before must have ended, and no file is new.

    Fixtures of a wider scope start theirs before this one looks.
    """
    processes, files = _children(), _files()
    yield
    deadline = time.monotonic() + _END_SECONDS
    while left := _children() - processes:
        assert time.monotonic() < deadline, f"a test has left processes: {left}"
        time.sleep(_POLL_SECONDS)
    assert _files() <= files, "a test has left files"


def _children() -> set[int]:
    """Direct children that run; what those started ends with them."""
    own = os.getpid()
    found: set[int] = set()
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        try:
            after_name = Path(entry.path, "stat").read_bytes().rpartition(b") ")[2].split()
        except OSError:  # it has ended
            continue
        if int(after_name[1]) == own and after_name[0] != b"Z":
            found.add(int(entry.name))
    return found


def _files() -> set[str]:
    return {entry.name for entry in os.scandir(_ROOT) if not entry.name.startswith(".")} | (
        {"data_dir"} if _DATA.exists() else set()
    )
