"""docs/reliability.md tells the promises and fault points that the code and the tests have."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from internal.fault import POINTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
_USE = re.compile(r"fault_point\(\"(\w+)\"\)")
_POINT_ROW = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)

in_checkout = pytest.mark.skipif(
    not (ROOT / "internal").is_dir(), reason="the sources are not here; the wheel is under test"
)


@in_checkout
def test_every_fault_point_stands_in_the_code_exactly_once() -> None:
    """A name that is nowhere cannot strike; one that is in two places says nothing."""
    uses = Counter(
        name
        for path in (ROOT / "internal").rglob("*.py")
        for name in _USE.findall(path.read_text(encoding="utf-8"))
    )

    assert uses == Counter(POINTS.keys())


def test_the_page_tells_every_fault_point_as_the_code_does() -> None:
    """In the order of the code, which is the order in which they are passed."""
    shown = dict(_POINT_ROW.findall(PAGE.read_text(encoding="utf-8").partition("## Fault")[2]))

    assert list(shown.items()) == list(POINTS.items())
