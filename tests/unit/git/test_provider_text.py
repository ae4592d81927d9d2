"""Titles and descriptions that every host takes."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internal.git.provider.text import fit_text, fit_title, without_commands


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Add a login", "Add a login"),
        ("  Add\r\n\ta   login\n", "Add a login"),
        ("a\0b\x1b[31mc\x7f", "a b [31mc"),
        ("a\u2028b\u00a0c", "a b c"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("half \ud83d pair", "half ? pair"),
        ("👩‍👩‍👧 family", "👩‍👩‍👧 family"),
        ("", "CodeForge"),
        ("\n\0 ", "CodeForge"),
    ],
)
def test_a_title_is_one_line_of_characters(text: str, title: str) -> None:
    """White space is one blank; what shows nothing, or turns its neighbours, is gone."""
    assert fit_title(text, 256) == title


def test_fault_a17_a_title_is_never_cut_inside_a_character() -> None:
    """Neither between bytes nor between a letter and its accent, nor inside a joined emoji."""
    family = "👩‍👩‍👧"
    cut = [fit_title(f"{family}{family}", limit) for limit in range(1, 11)]

    assert set(cut) == {"…", f"{family}…", f"{family}{family}"}
    assert fit_title("e\u0301" * 9, 6) == "e\u0301" * 2 + "…"
    assert fit_title("ä" * 300, 256) == "ä" * 255 + "…"


@given(st.text(), st.integers(1, 300))
def test_every_text_becomes_a_title(text: str, limit: int) -> None:
    """Whatever comes in, what goes out is short enough, one line, and can be sent."""
    title = fit_title(text, limit)

    assert len(title) <= max(limit, len("CodeForge"))
    assert title == title.strip()
    assert title
    assert not {unicodedata.category(char) for char in title} & {"Cc", "Zl", "Zp", "Cs"}
    title.encode()


@given(st.text(alphabet=st.characters(), max_size=200), st.integers(1, 100))
def test_every_text_becomes_a_description(text: str, limit: int) -> None:
    """It keeps its lines, has no NUL and no half character, and is short enough."""
    description = fit_text(text, limit)

    assert len(description) <= limit
    assert "\0" not in description
    description.encode()


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("/merge", "\\/merge"),
        ("Done.\n/assign @me\n  /close", "Done.\n\\/assign @me\n  \\/close"),
        ("Done.\r\n/merge", "Done.\r\n\\/merge"),
        ("see /etc/passwd and a/b", "see /etc/passwd and a/b"),
        ("// a comment\n/ alone", "// a comment\n/ alone"),
    ],
)
def test_a_line_of_a_description_is_no_command(text: str, safe: str) -> None:
    """Only the slash at the start of a line in front of a word is escaped."""
    assert without_commands(text) == safe
