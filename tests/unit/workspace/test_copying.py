"""Copying what an agent wrote: what comes along, what it takes, when it ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from internal.workspace.copying import Budget, Stopped, TooLarge, charge, copy
from internal.workspace.files import disk_bytes


def _sparse(path: Path, size: int, content: dict[int, bytes]) -> None:
    with path.open("wb") as file:
        for position, text in content.items():
            file.seek(position)
            file.write(text)
        file.truncate(size)


def test_a_copy_has_links_and_modes_and_not_what_is_left_out(tmp_path: Path) -> None:
    """Files, empty directories, links as links; named top-level entries and pipes do not come."""
    source = tmp_path / "source"
    (source / "a" / "empty").mkdir(parents=True)
    (source / "a" / "run").write_text("x")
    (source / "a" / "run").chmod(0o750)
    (source / "a" / ".cache").mkdir()
    (source / ".cache").mkdir()
    (source / "broken").symlink_to("/nowhere")
    os.mkfifo(source / "pipe")

    copy(
        source,
        tmp_path / "copy",
        budget=Budget(left_bytes=1 << 20),
        leave_out=frozenset({".cache"}),
    )

    found = sorted(str(path.relative_to(tmp_path / "copy")) for path in tmp_path.glob("copy/**/*"))
    assert found == ["a", "a/.cache", "a/empty", "a/run", "broken"]
    assert (tmp_path / "copy/a/run").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "copy/broken").is_symlink()


def test_holes_stay_holes(tmp_path: Path) -> None:
    """A file of 6 GiB with a few bytes in it is copied with them, and takes no more room."""
    (tmp_path / "source").mkdir()
    content = {0: b"first", 3 << 30: b"middle", (6 << 30) - 4: b"last"}
    _sparse(tmp_path / "source" / "sparse", 6 << 30, content)
    _sparse(tmp_path / "source" / "empty", 6 << 30, {})

    copy(tmp_path / "source", tmp_path / "copy", budget=Budget(left_bytes=1 << 20))

    assert disk_bytes(tmp_path / "copy") < 1 << 20
    assert (tmp_path / "copy" / "empty").stat().st_size == 6 << 30
    with (tmp_path / "copy" / "sparse").open("rb") as copied:
        for position, text in content.items():
            copied.seek(position)
            assert copied.read(len(text)) == text
        assert (copied.read(), copied.tell()) == (b"", 6 << 30)


def test_a_file_of_several_blocks_is_copied_whole(tmp_path: Path) -> None:
    """Content, mode and time are those of the source, wherever the blocks end."""
    (tmp_path / "source").mkdir()
    file = tmp_path / "source" / "file"
    file.write_bytes(os.urandom((9 << 20) + 7))
    file.chmod(0o640)
    os.utime(file, ns=(1, 10**18))

    copy(tmp_path / "source", tmp_path / "copy", budget=Budget(left_bytes=10 << 20))

    copied = tmp_path / "copy" / "file"
    assert copied.read_bytes() == file.read_bytes()
    assert (copied.stat().st_mode & 0o777, copied.stat().st_mtime_ns) == (0o640, 10**18)


@pytest.mark.parametrize("kind", ["content", "entries"])
def test_what_takes_more_than_its_budget_is_refused(tmp_path: Path, kind: str) -> None:
    """Before a byte too many is written; many empty files take room as well."""
    (tmp_path / "source").mkdir()
    if kind == "content":
        (tmp_path / "source" / "file").write_bytes(os.urandom(300_000))
    else:
        for number in range(30):
            (tmp_path / "source" / str(number)).touch()

    with pytest.raises(TooLarge):
        charge(tmp_path / "source", budget=Budget(left_bytes=100_000))
    with pytest.raises(TooLarge):
        copy(tmp_path / "source", tmp_path / "copy", budget=Budget(left_bytes=100_000))

    assert disk_bytes(tmp_path / "copy") <= 100_000


def test_a_copy_that_nobody_waits_for_ends_at_the_next_block(tmp_path: Path) -> None:
    """Once stopped, not one block more is written."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"x" * 5000)
    budget = Budget(left_bytes=1 << 20)
    budget.stop.set()

    with pytest.raises(Stopped):
        copy(tmp_path / "source", tmp_path / "copy", budget=budget)

    assert list((tmp_path / "copy").iterdir()) == []
