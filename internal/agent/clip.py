"""
Makes an event fit to be stored: secrets replaced, long values cut, nesting bounded.

Cutting and replacing meddle with each other: a cut through a secret leaves a half that no search
finds. So a string is first cut with a margin longer than any secret, then searched, and then
loses that margin.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from internal.agent.model import AgentEvent, Json

RAW_LIMIT_BYTES = 16 * 1024
"""A CLI's own line beyond this is left out of the event."""

_MARGIN_CHARACTERS = 16 * 1024  # a secret has up to 4,096, its longest encoding three times that
_MAX_DEPTH = 64
_TOO_DEEP = "[nested too deep]"
_LEFT_OUT = "[too large]"
_FRAME_BYTES = 48  # braces, member names and the note around one long string
_SHARES = (1.0, 0.9, 0.5, 0.1, 0.01)  # of the limit, for the longest string; tried in this order
_SHORTEST_BYTES = 16
_FAR_TOO_LARGE = 4

Change = Callable[[str], str]


def clean(event: AgentEvent, *, limit_bytes: int, redact: Change) -> AgentEvent:
    """
    *event* as it may be stored: *redact* applied to every string, its data at most *limit_bytes*
    of JSON.

    Data that was cut says `truncated: true`; `raw` is whole or left out.
    """
    return replace(
        event, data=_fit(event.data, limit_bytes, redact), raw=_clean_raw(event.raw, redact)
    )


def cut_text(text: str, *, limit_bytes: int, redact: Change) -> str:
    """*text* without secrets, at most *limit_bytes* of UTF-8."""
    return _Shorten(limit_bytes, redact)(text)


def coarse(event: AgentEvent, *, limit_bytes: int) -> AgentEvent:
    """
    *event* without what `clean` with the same limit would cut anyway, without searching it.

    Where thousands of short strings make it many times too large, members with nested values go.
    """
    longest = limit_bytes + _MARGIN_CHARACTERS
    data = cast(Json, change_strings(event.data, lambda text: text[:longest]))
    if encoded_bytes(data) > _FAR_TOO_LARGE * longest:
        data = {**_flat(data), "truncated": True}
    return replace(event, data=data, raw=None)


def event_bytes(event: AgentEvent) -> int:
    """What *event* takes when stored, without its envelope."""
    return encoded_bytes(event.data) + (0 if event.raw is None else encoded_bytes(event.raw))


def encoded_bytes(value: object) -> int:
    """The size of *value* as compact JSON in UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def change_strings(value: object, change: Change, depth: int = 0) -> object:
    """JSON *value* with *change* applied to all strings in it, names of members too."""
    if isinstance(value, str):
        return change(value)
    if not isinstance(value, dict | list):
        return value
    if depth == _MAX_DEPTH:
        return _TOO_DEEP
    if isinstance(value, list):
        items = cast(list[object], value)
        return [change_strings(item, change, depth + 1) for item in items]
    members = cast(dict[str, object], value)
    return {
        change(name): change_strings(member, change, depth + 1) for name, member in members.items()
    }


def _clean_raw(raw: Json | str | None, redact: Change) -> Json | str | None:
    if raw is None or encoded_bytes(raw) > RAW_LIMIT_BYTES:
        return None
    found = cast("Json | str", change_strings(raw, redact))
    return found if encoded_bytes(found) <= RAW_LIMIT_BYTES else None


def _fit(data: Json, limit_bytes: int, redact: Change) -> Json:
    room = limit_bytes - _FRAME_BYTES
    is_cut = "truncated" in data
    for share in _SHARES:
        shorten = _Shorten(max(int(room * share), _SHORTEST_BYTES), redact)
        data = cast(Json, change_strings(data, shorten))
        is_cut = is_cut or shorten.cut
        if encoded_bytes(data) <= room:
            return {**data, "truncated": True} if is_cut else data
        redact = _nothing  # the first round searched everything
    return {**_flat(data), "truncated": True}


def _nothing(text: str) -> str:
    return text


class _Shorten:
    """Redacts a string and cuts it to a number of bytes; `cut` tells whether it ever did."""

    def __init__(self, limit_bytes: int, redact: Change) -> None:
        self._limit = limit_bytes
        self._redact = redact
        self.cut = False

    def __call__(self, text: str) -> str:
        searched = self._redact(text[: self._limit + _MARGIN_CHARACTERS])
        if len(text) >= self._limit + _MARGIN_CHARACTERS:
            searched = searched[:-_MARGIN_CHARACTERS]
            self.cut = True
        if len(searched) <= self._limit and searched.isascii():
            return searched
        content = searched.encode(errors="replace")
        if len(content) <= self._limit:
            return searched
        self.cut = True
        return content[: self._limit].decode(errors="ignore")


def _flat(data: Json) -> Json:
    return {
        name: _LEFT_OUT if isinstance(value, dict | list) else value for name, value in data.items()
    }
