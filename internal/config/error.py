"""What is wrong with the settings: everything at once, with the place it comes from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from pydantic import ValidationError

from internal.config.settings import leaf_names
from internal.errors import Invalid


class SettingsError(Invalid):
    """The settings cannot be used; `fields` maps each bad key to what is wrong with it."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        lines = [f"  {path}: {complaint}" for path, complaint in fields.items()]
        super().__init__("\n".join(["The settings cannot be used:", *lines]), fields=dict(fields))


def complaints(error: ValidationError) -> dict[str, str]:
    """
    The dotted path of each bad setting, with a message that never repeats its value.
    """
    found: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(map(str, detail["loc"]))
        if detail["type"] == "extra_forbidden":
            found[path] = _unknown(path)
        else:
            message = detail["msg"].removeprefix("Value error, ").replace(" should ", " must ")
            for subject in ("Input ", "String "):
                message = message.removeprefix(subject)
            found[path] = message
    return found


def _unknown(path: str) -> str:
    nearest = _nearest(path, leaf_names())
    return "is not a setting" + (f"; did you mean {nearest}?" if nearest else "")


def _nearest(path: str, known: Collection[str]) -> str | None:
    sections = {name.rpartition(".")[0] for name in known} - {""}
    last = path.rpartition(".")[2]
    same_name = [name for name in known if name.rpartition(".")[2] == last]
    close = get_close_matches(path, [*known, *sections], n=1)
    return next(iter([*same_name[:1], *close]), None)
