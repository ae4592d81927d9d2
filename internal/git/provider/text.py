"""
Text from users and agents, made fit for the fields of a host. Pure.

Hosts count characters, and a title that is too long or has a line break fails the whole request.
"""

from __future__ import annotations

import re
import unicodedata

_CUT = "…"
_COMMAND = re.compile(r"^(\s*)/(?=\w)", re.MULTILINE)
# Joiners and selectors belong to the character in front of them, like combining marks.
_JOINER = "\u200d"
_LEANING = frozenset({"Mn", "Me", "Mc", "Cf", "Sk"})
# They turn the text around them, also that of the page it is shown on.
_DIRECTION = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])


def fit_title(text: str, limit: int) -> str:
    """
    *text* as one line of 1 to *limit* characters: white space is one blank, control characters and
    what is no character are gone, and no visible character is cut in two.
    """
    visible = _encodable(text).translate(_DIRECTION)
    line = " ".join("".join(char if _shows(char) else " " for char in visible).split())
    return _cut(line, limit) or "CodeForge"


def fit_text(text: str, limit: int) -> str:
    """*text* in at most *limit* characters, with its lines; NUL, which no host stores, is gone."""
    return _cut(_encodable(text).replace("\0", ""), limit)


def without_commands(text: str) -> str:
    """
    *text* with the slash at the start of a line escaped, as Markdown shows it unchanged.

    GitLab obeys lines like `/merge` and `/assign` in a description, in the name of the token; what
    an agent wrote must not command it. Source: docs.gitlab.com/user/project/quick_actions.
    """
    return _COMMAND.sub(r"\1\\/", text)


def _shows(char: str) -> bool:
    return char.isprintable() or char == _JOINER


def _encodable(text: str) -> str:
    """Half of a surrogate pair can come in by JSON, but no UTF-8 can go out with it."""
    return text.encode("utf-8", "replace").decode()


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    end = limit - len(_CUT)
    while end > 0 and (_leans(text[end]) or text[end - 1] == _JOINER):
        end -= 1
    return text[:end].rstrip() + _CUT


def _leans(char: str) -> bool:
    return unicodedata.category(char) in _LEANING
