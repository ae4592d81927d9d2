"""Removing and measuring what an agent wrote."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from internal.workspace.files import disk_bytes, empty_grave, remove


def _plant(root: Path) -> Path:
    for folder in range(30):
        for inner in range(5):
            path = root / f"folder{folder}" / f"{inner}"
            path.mkdir(parents=True)
            (path / "file").write_text("x" * 5000)
    return root


def test_whatever_is_there_is_removed_and_nothing_is_no_error(tmp_path: Path) -> None:
    """A directory, a file, a link, a pipe, nothing; what a link points to stays."""
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    _plant(tmp_path / "folder")

    for name in ("file", "pipe", "link", "folder", "nothing"):
        remove(tmp_path / name)

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_two_may_remove_the_same_at_once(tmp_path: Path) -> None:
    """Workers of one home sweep the same disk; neither fails because the other was faster."""
    grave = _plant(tmp_path / ".removing-1")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(empty_grave, [grave] * 4))

    assert list(tmp_path.iterdir()) == []


def test_names_like_those_of_the_removal_are_in_nobodys_way(tmp_path: Path) -> None:
    """Directories called 1, 2, 3 and so on, full and empty, are removed like others."""
    for number in range(6):
        (tmp_path / "tree" / str(number) / str(number) / "x").mkdir(parents=True)
        (tmp_path / "tree" / str(number) / "empty").mkdir()

    remove(tmp_path / "tree")

    assert list(tmp_path.iterdir()) == []


def test_the_size_of_a_directory_is_what_it_takes_on_disk(tmp_path: Path) -> None:
    """Everything below counts, in the blocks it occupies."""
    small = disk_bytes(_plant(tmp_path / "tree"))
    (tmp_path / "tree" / "more").write_bytes(bytes(range(256)) * 4096)

    assert disk_bytes(tmp_path / "tree") - small >= 1 << 20
