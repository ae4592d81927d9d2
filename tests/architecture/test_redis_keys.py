"""docs/redis-keys.md tells every key that the code knows."""

from __future__ import annotations

import inspect
from pathlib import Path

from internal.rdb.keys import Keys

PAGE = Path(__file__).parents[2] / "docs" / "redis-keys.md"
_SHOWN_AS = {"tenant": "<t>", "task": "<id>"}


def test_the_page_names_every_key() -> None:
    """A key that is added, renamed or removed is so on the page, too."""
    shown = {line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")}

    assert shown == {_pattern(name) for name in _names()}


def _names() -> list[str]:
    return [name for name, _ in inspect.getmembers(Keys, inspect.isfunction) if name[0] != "_"]


def _pattern(name: str) -> str:
    function = getattr(Keys(""), name)
    arguments = {
        parameter: _SHOWN_AS.get(parameter, f"<{parameter}>")
        for parameter in inspect.signature(function).parameters
    }
    return str(function(**arguments))
