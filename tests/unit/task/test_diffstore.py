"""Diffs as they are stored."""

from __future__ import annotations

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internal.git.model import Changes, Diff, FileDiff, FileStatus
from internal.task import diffstore


def diff_of(patch: bytes, *files: FileDiff) -> Diff:
    return Diff(base="b" * 40, head="h" * 40, files=files, changes=Changes(), patch=patch)


FILE = FileDiff(
    path="a\nb/ü", status=FileStatus.ADDED, additions=3, patch="@@ -0,0 +1 @@\n+ü\ud800"
)


@given(st.binary(max_size=4_000))
def test_what_is_packed_is_unpacked(patch: bytes) -> None:
    """Any bytes in the patch, any name and text of a file."""
    diff = diff_of(patch, FILE)

    packed, truncated = diffstore.pack(diff)

    assert not truncated
    assert diffstore.unpack(packed).diff == diff


def test_a_diff_beyond_the_limit_keeps_its_head_and_names() -> None:
    """The home that has the work serves the rest."""
    diff = diff_of(os.urandom(2 * 1024 * 1024), FILE)

    packed, truncated = diffstore.pack(diff)

    stored = diffstore.unpack(packed)
    assert truncated
    assert stored.truncated
    assert len(packed) < 1_000
    assert stored.diff.patch == b""
    assert [(file.path, file.patch) for file in stored.diff.files] == [(FILE.path, None)]


def test_a_diff_that_would_unpack_to_too_much_is_not_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Zeros compress a thousandfold: what is stored must always be readable again."""
    monkeypatch.setattr(diffstore, "_MAX_PLAIN_BYTES", 100_000)
    diff = diff_of(bytes(200_000), FILE)

    packed, truncated = diffstore.pack(diff)

    assert truncated
    assert diffstore.unpack(packed).truncated


@pytest.mark.parametrize("damage", ["cut", "noise", "bomb"])
def test_what_is_no_stored_diff_is_refused(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one kind of error, and without unpacking endlessly."""
    packed, _ = diffstore.pack(diff_of(b"patch"))
    if damage == "cut":
        packed = packed[:-5]
    elif damage == "noise":
        packed = b"not compressed at all"
    else:
        monkeypatch.setattr(diffstore, "_MAX_PLAIN_BYTES", 1_000)
        packed = zlib.compress(b"{}\n" + bytes(10_000))

    with pytest.raises(ValueError, match="stored diff"):
        diffstore.unpack(packed)
