"""
Settings from defaults < a file < the environment, checked; every complaint at once.

    CODEFORGE_CONFIG=/etc/codeforge.yaml     the file; else ./codeforge.yaml or ./codeforge.toml
    CODEFORGE_SERVER__PORT=9000              server.port; only names with `__` are settings
    CODEFORGE_DATA_DIR=/var/lib/codeforge    data_dir, which is in no section

An empty variable counts as not set. In the file, `${VAR}` and `${VAR:-default}` are replaced from
the environment, and `$${` stands for `${`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from internal.config.error import SettingsError, complaints
from internal.config.expand import expand
from internal.config.file import merge, read_file
from internal.config.settings import Settings, leaf_names
from internal.config.values import flatten

DEFAULT = "default"
"""The source of a value that nobody has set."""

_PREFIX = "CODEFORGE_"
_FILE_VARIABLE = "CODEFORGE_CONFIG"
_DATA_DIR_VARIABLE = "CODEFORGE_DATA_DIR"
_FILE_NAMES = ("codeforge.yaml", "codeforge.yml", "codeforge.toml")
_PATHS = ("data_dir", "tasks.workspace_base", "git.ssh_key_file", "git.ssh_known_hosts_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The settings, and for each dotted path where it is from: `default`, a file or a variable."""

    settings: Settings
    sources: Mapping[str, str]

    def was_set(self, path: str) -> bool:
        """Whether the operator set *path*, be it to the default."""
        return self.sources[path] != DEFAULT


def load_settings(environ: Mapping[str, str], cwd: Path) -> Loaded:
    """
    The settings of a process with this environment and working directory.

    Raises:
        SettingsError: a named file is missing or unreadable, a variable of `${VAR}` is not set, a
            key is unknown, or a value is not as it must be.
    """
    file = _find_file(environ, cwd)
    raw = read_file(file) if file else {}
    in_file, unset = expand(raw, environ)
    in_environment, variables = _from_environment(environ)
    origins = {path: str(file) for path in flatten(raw)} | variables
    merged = merge(in_file, in_environment)
    _complete(merged, environ, cwd)
    bad = {path: f"the variable {name} is not set" for path, name in unset.items()}
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        # The cause would hold values, which may be secrets.
        raise _error(complaints(error) | bad, origins) from None
    if bad:
        raise _error(bad, origins)
    return Loaded(
        settings=settings, sources={path: _source(path, origins) for path in leaf_names()}
    )


def _find_file(environ: Mapping[str, str], cwd: Path) -> Path | None:
    if named := environ.get(_FILE_VARIABLE):
        path = cwd / Path(named).expanduser()
        if not path.is_file():
            raise SettingsError({_FILE_VARIABLE: f"there is no file {path}"})
        return path
    return next((path for name in _FILE_NAMES if (path := cwd / name).is_file()), None)


def _from_environment(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Nested values, and the variable behind each dotted path."""
    nested: dict[str, Any] = {}
    variables: dict[str, str] = {}
    for name, value in sorted(environ.items()):
        is_setting = name.startswith(_PREFIX) and "__" in name
        if not value or not (is_setting or name == _DATA_DIR_VARIABLE):
            continue
        path = name.removeprefix(_PREFIX).lower().lstrip("_").split("__")
        inner = nested
        for part in path[:-1]:
            if not isinstance(inner.get(part), dict):
                inner[part] = {}
            inner = inner[part]
        inner[path[-1]] = value
        variables[".".join(path)] = name
    return nested, variables


def _complete(merged: dict[str, Any], environ: Mapping[str, str], cwd: Path) -> None:
    """Fill in the defaults that depend on the machine, and make paths absolute."""
    home = Path(environ.get("HOME") or Path.home())
    share = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    merged.setdefault("data_dir", str(share / "codeforge"))
    for path in _PATHS:
        section, _, name = path.rpartition(".")
        values = _section(merged, section) if section else merged
        text = values.get(name)
        if isinstance(text, str) and text:
            values[name] = str(cwd / (home / text[2:] if text.startswith("~/") else text))
    _section(merged, "tasks").setdefault("workspace_base", f"{merged['data_dir']}/workspaces")


def _section(merged: dict[str, Any], name: str) -> dict[str, Any]:
    """A section, to be written to; one that nobody sees when something else stands there."""
    found = merged.setdefault(name, {})
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _source(path: str, origins: Mapping[str, str]) -> str:
    """Who set *path*, or a member of it; the environment comes last in *origins* and wins."""
    under = [origin for known, origin in origins.items() if f"{known}.".startswith(f"{path}.")]
    return under[-1] if under else DEFAULT


def _error(bad: Mapping[str, str], origins: Mapping[str, str]) -> SettingsError:
    return SettingsError(
        {path: f"{complaint}{_where(path, origins)}" for path, complaint in sorted(bad.items())}
    )


def _where(path: str, origins: Mapping[str, str]) -> str:
    """In which file or variable *path* is; a complaint may be about an element of a list."""
    while path:
        source = _source(path, origins)
        if source != DEFAULT:
            return f" (in {source})"
        path = path.rpartition(".")[0]
    return ""
