"""docs/reliability.md tells the promises and fault points that the code and the tests have."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from internal.fault import POINTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
PROMISES = (*(str(number) for number in range(1, 6)), "6a", "6b", *map(str, range(7, 23)))
_USE = re.compile(r"fault_point\(\"(\w+)\"\)")
_POINT_ROW = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)
_PROMISE_ROW = re.compile(r"^\| (\d+[ab]?) \| [^|]+ \| [^|]+ \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"^(?:async )?def test_promise_((\d+[ab]?)_\w+)\(", re.MULTILINE)

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
    shown = dict(_POINT_ROW.findall(_part("Fault points")))

    assert list(shown.items()) == list(POINTS.items())


def test_every_promise_has_its_row_and_its_tests() -> None:
    """A row names tests of its own number that exist, and no test shows what nobody promised."""
    written = {
        name: number
        for path in (ROOT / "tests").rglob("test_*.py")
        for name, number in _TEST.findall(path.read_text(encoding="utf-8"))
    }

    rows = dict(_PROMISE_ROW.findall(_part("What is promised")))

    assert tuple(rows) == PROMISES
    assert set(written.values()) == set(PROMISES)
    for number, cell in rows.items():
        named = re.findall(r"`(\w+)`", cell)
        assert named
        assert [written.get(name) for name in named] == [number] * len(named), named


def _part(title: str) -> str:
    """The section of the page under that title."""
    return PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
