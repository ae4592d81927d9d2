"""What a remote answers about a name, and what is made of it."""

from __future__ import annotations

import pytest

from internal.errors import Invalid
from internal.git.failure import RepoNotFound
from internal.git.target import Found, names_to_ask, read_answer

A, B, C = "a" * 40, "b" * 40, "c" * 40


@pytest.mark.parametrize(
    ("said", "target", "found"),
    [
        (f"ref: refs/heads/dev\tHEAD\n{A}\tHEAD\n", None, Found(commit=A, branch="dev")),
        (f"{A}\tHEAD\n", None, Found(commit=A, branch=None)),
        (f"ref: refs/heads/../../x\tHEAD\n{A}\tHEAD\n", None, Found(commit=A, branch=None)),
        (f"{A}\trefs/heads/x\n{B}\trefs/tags/x\n", "x", Found(commit=A, branch="x")),
        (f"{A}\trefs/tags/x\n{B}\trefs/tags/x^{{}}\n", "x", Found(commit=B, branch=None)),
        (f"{A}\trefs/tags/x\n", "x", Found(commit=A, branch=None)),
        (f"{A}\trefs/tags/{C}\n", C, Found(commit=A, branch=None)),
        ("", C[:7], Found(commit=None, branch=None)),
    ],
)
def test_the_remotes_list_says_what_a_name_stands_for(
    said: str, target: str | None, found: Found
) -> None:
    """Branch, then tag (peeled), then an id to look for; a HEAD without usable branch has none."""
    assert read_answer(said, target) == found


@pytest.mark.parametrize(
    ("said", "target"),
    [
        ("", None),
        ("", "main"),
        (f"{A}\trefs/heads/other/refs/heads/main\n", "main"),
        ("--evil\trefs/heads/main\n", "main"),
        ("", "abcdef"),
    ],
)
def test_a_name_that_is_not_in_the_list_is_not_found(said: str, target: str | None) -> None:
    """Nothing is guessed: not a longer name, not a line that is no commit, not too short an id."""
    with pytest.raises(RepoNotFound):
        read_answer(said, target)


def test_an_impossible_name_is_never_asked_for() -> None:
    """Patterns and options do not reach git."""
    with pytest.raises(Invalid):
        names_to_ask("refs/*")

    assert names_to_ask(None) == ("HEAD",)
