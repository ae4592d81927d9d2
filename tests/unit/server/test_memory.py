"""How full the memory of a server is, from the kernel's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from internal.server.memory import memory_share


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:  1000 kB\nMemFree:  10 kB\nMemAvailable:  750 kB\n")
    return path


def test_the_machine_counts_where_nothing_else_is_limited(tmp_path: Path, machine: Path) -> None:
    """What the kernel could give at once is free."""
    assert memory_share(tmp_path, machine) == pytest.approx(0.25)


def test_the_container_counts_where_it_is_fuller(tmp_path: Path, machine: Path) -> None:
    """Without the cache of files that it could drop."""
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\n")

    assert memory_share(tmp_path, machine) == pytest.approx(0.6)
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_share(tmp_path, machine) == pytest.approx(0.25)


def test_a_system_that_tells_nothing_is_never_full(tmp_path: Path) -> None:
    """Files that are missing or odd are no shortage."""
    odd = tmp_path / "odd"
    odd.write_text("MemTotal: x kB\n")

    assert memory_share(tmp_path, tmp_path / "missing") == 0
    assert memory_share(tmp_path, odd) == 0
