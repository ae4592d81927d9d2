"""docs/redis-keys.md tells every key that the code knows, and no script knows others."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from internal.rdb.keys import Keys

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "redis-keys.md"
SCRIPTS = sorted((ROOT / "internal").glob("**/*.lua"))
_SHOWN_AS = {"tenant": "<t>", "task": "<id>"}
_NAMED = re.compile(r"\bP \.\. '([^']+)'")
_OF_A_TENANT = re.compile(r"\btenant_key\([\w.]+, '([^']+)'")


def test_the_page_tells_every_key_as_the_code_does() -> None:
    """A key that is added, renamed, removed or described anew is so on the page, too."""
    shown = {line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"}

    assert shown == {f"| `{pattern}` | {said} |" for pattern, said in _keys().items()}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_derives_only_keys_that_are_known(script: Path) -> None:
    """What a script puts behind the prefix is how a key of `Keys` begins."""
    text = script.read_text(encoding="utf-8")
    names = _NAMED.findall(text) + [f"tenant:<t>:{name}" for name in _OF_A_TENANT.findall(text)]

    unknown = [name for name in names if not any(_begins(key, name) for key in _keys())]

    assert not unknown


def _begins(key: str, name: str) -> bool:
    """Whether *name* is the begin of *key*, whose parts in angle brackets stand for any text."""
    if name.startswith("tenant:<t>:"):
        key, name = (text.removeprefix("tenant:<t>:") for text in (key, name))
    return name == key or ("<" in key and name.startswith(key.partition("<")[0]))


def _keys() -> dict[str, str]:
    """Pattern -> the first line of its docstring."""
    functions = inspect.getmembers(Keys, inspect.isfunction)
    return {
        _pattern(name): inspect.getdoc(function) or ""
        for name, function in functions
        if not name.startswith("_")
    }


def _pattern(name: str) -> str:
    function = getattr(Keys(""), name)
    arguments = {
        parameter: _SHOWN_AS.get(parameter, f"<{parameter}>")
        for parameter in inspect.signature(function).parameters
    }
    return str(function(**arguments))
