"""
`${VAR}` and `${VAR:-default}` in the settings file.

The default is taken when the variable is not set or empty, as a shell does. `$${` stands for `${`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

_VARIABLE = re.compile(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def expand(
    values: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """
    *values* with the variables replaced.

    The second result maps the path of each text that names a variable that is not set to that
    variable; such a text is left out of the first.
    """
    unset: dict[str, str] = {}

    def walk(value: object, path: str) -> Any:
        match value:
            case str():
                try:
                    return _VARIABLE.sub(lambda found: _value(found, environ), value)
                except KeyError as missing:
                    unset[path] = str(missing.args[0])
                    return None
            case dict():
                members = cast("dict[str, object]", value)
                pairs = ((n, walk(m, f"{path}.{n}" if path else n)) for n, m in members.items())
                return {name: member for name, member in pairs if member is not None}
            case list():
                items = enumerate(cast("list[object]", value))
                return [walk(item, f"{path}.{index}") for index, item in items]
            case _:
                return value

    return walk(dict(values), ""), unset


def _value(found: re.Match[str], environ: Mapping[str, str]) -> str:
    """Raises KeyError with the variable's name when it is not set and there is no default."""
    if found[0].startswith("$$"):
        return found[0][1:]
    name, default = found[1], found[2]
    if default is not None:
        return environ.get(name) or default
    return environ[name]
