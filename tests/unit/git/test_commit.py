"""Commit objects made by hand: the same work gives the same commit, and nothing breaks out."""

from __future__ import annotations

from datetime import UTC, datetime

from internal.git.commit import CommitText, commit_object

_AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def test_a_commit_depends_on_what_it_is_given_alone() -> None:
    """Tree, parent, who, when and what; in git's own form."""
    text = CommitText(name="A B", email="a@b", at=_AT, message="Title\n\nTrailer: x\n")

    assert commit_object("t" * 40, "p" * 40, text) == (
        b"tree " + b"t" * 40 + b"\nparent " + b"p" * 40 + b"\n"
        b"author A B <a@b> 1767323045 +0000\ncommitter A B <a@b> 1767323045 +0000\n"
        b"\nTitle\n\nTrailer: x\n"
    )


def test_a_name_cannot_become_a_header() -> None:
    """Nor can a message end the object."""
    text = CommitText(name="x\nparent y", email="a>\n<b", at=_AT, message="a\0b\ud800")

    content = commit_object("t" * 40, "p" * 40, text)

    assert content.count(b"\nparent ") == 1
    assert b"author x parent y <ab> " in content
    assert content.endswith(b"\n\nab?\n")
