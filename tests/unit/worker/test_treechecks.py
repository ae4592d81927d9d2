"""What must not leave in a pull request, told from modes, sizes and targets of links."""

from __future__ import annotations

import pytest

from internal.errors import Invalid
from internal.git.changes import LINK, NOTHING, SUBMODULE, Change
from internal.worker.treechecks import check_link, check_sizes, check_submodules, new_links


def change(path: bytes, mode: str = "100644", *, old_mode: str = NOTHING) -> Change:
    return Change(path=path, old_mode=old_mode, new_mode=mode, old="0" * 40, new="1" * 40)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (b"a", b"/etc/passwd"),
        (b"a", b".."),
        (b"a", b"../x"),
        (b"a/b", b"../../x"),
        (b"a/b", b"..//..//x"),
        (b"a", b"x/../../y"),
        (b"a", b"link/../y"),
        (b"a", b""),
        (b"a", b"x" * 5000),
        (b"a", b".git/hooks"),
        (b"a/b", b"../.GIT/config"),
    ],
)
def test_a_link_that_may_lead_out_is_refused(path: bytes, target: bytes) -> None:
    """Absolute, above the root, through another link, into git's own directory, or nowhere."""
    with pytest.raises(Invalid) as refused:
        check_link(path, target)

    assert refused.value.error_code == "link_leaves_tree"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (b"a", b"b"),
        (b"a", b"./b/c"),
        (b"a/b", b"../c"),
        (b"a/b/c", b"../../d/e"),
        (b"a/b", b".."),
        (b"a/b", b".git-not"),
    ],
)
def test_a_link_that_stays_passes(path: bytes, target: bytes) -> None:
    """Up as far as the root and down again."""
    check_link(path, target)


def test_only_new_links_are_looked_at() -> None:
    """What was deleted leads nowhere."""
    made, gone = change(b"a", LINK), change(b"b", NOTHING, old_mode=LINK)

    assert new_links([made, gone, change(b"c")]) == (made,)


@pytest.mark.parametrize("bad", [change(b"sub", SUBMODULE), change(b".gitmodules")])
def test_a_new_submodule_is_refused(bad: Change) -> None:
    """Its commit, or where it comes from."""
    with pytest.raises(Invalid) as refused:
        check_submodules([change(b"fine"), bad])

    assert refused.value.error_code == "submodule_in_diff"


def test_a_removed_submodule_passes() -> None:
    """Nothing of others comes in by it."""
    check_submodules([change(b"sub", NOTHING, old_mode=SUBMODULE)])


def test_a_file_over_the_limit_is_refused_by_name() -> None:
    """At the limit is fine; so is a deleted file, whatever it had."""
    sizes = {"1" * 40: 100}
    check_sizes([change(b"big")], sizes, max_bytes=100)
    check_sizes([change(b"gone", NOTHING, old_mode="100644")], sizes, max_bytes=1)

    with pytest.raises(Invalid, match="big has 100 bytes") as refused:
        check_sizes([change(b"big")], sizes, max_bytes=99)

    assert refused.value.error_code == "file_too_large"
