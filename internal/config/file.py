"""
The settings file, YAML or TOML, read and merged by dynaconf.

Dynaconf's own features in values (`@int`, `@jinja`, includes by variables) are switched off: a
password that begins with `@` is a password.
"""

# Dynaconf has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from internal.config.error import SettingsError

_KINDS = {".yaml": "YAML", ".yml": "YAML", ".toml": "TOML"}


def read_file(path: Path) -> dict[str, Any]:
    """
    What the file says, as text, numbers, lists and mappings; a key without a value is left out.

    Raises:
        SettingsError: it cannot be read, or is no YAML or TOML.
    """
    kind = _KINDS.get(path.suffix)
    if kind is None:
        raise SettingsError({str(path): f"the name must end with {', '.join(_KINDS)}"})
    try:
        # Dynaconf itself would leave out what it may not read.
        path.read_bytes()
        values = _dynaconf([str(path)])
    except OSError as error:
        raise SettingsError({str(path): f"cannot be read: {error.strerror}"}) from error
    except Exception as error:  # noqa: BLE001 - whatever the parsers raise, the file is at fault
        # Their messages may repeat values, and values may be secrets.
        lines = re.findall(r"line (\d+)", str(error))
        where = f", see line {lines[-1]}" if lines else ""
        raise SettingsError({str(path): f"is no {kind} with sections of keys{where}"}) from None
    return values


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """One set of values; a later layer wins, key by key."""
    return _dynaconf([], *layers)


def _dynaconf(files: list[str], *layers: Mapping[str, Any]) -> dict[str, Any]:
    # Imported here: it takes a tenth of a second, and most commands need no settings.
    from dynaconf import Dynaconf  # noqa: PLC0415

    settings = Dynaconf(
        settings_files=files,
        core_loaders=["YAML", "TOML"],
        loaders=[],
        envvar_prefix=False,
        environments=False,
        auto_cast=False,
        dotted_lookup=False,
        merge_enabled=True,
    )
    for layer in layers:
        settings.update(dict(layer), merge=True, tomlfy=False)
    return {
        name.lower(): _plain(value)
        for name, value in settings.as_dict().items()
        if value is not None
    }


def _plain(value: object) -> Any:
    """Ordinary containers, keys as text, nothing that is null."""
    if isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        return {str(name): _plain(member) for name, member in members.items() if member is not None}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[object]", value)]
    return value
