"""
Query parameters, checked like bodies: unknown names and bad values are refused, all at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TypeVar

from starlette.requests import Request

from internal.access.model import is_tenant
from internal.errors import Invalid
from internal.task.listing import TaskFilter
from internal.task.state import State

ValueT = TypeVar("ValueT")

_CURSOR = re.compile(r"\d{1,16}\.[0-9a-z]{1,64}\Z")
_ENTRY_ID = re.compile(r"\d{1,16}-\d{1,16}\Z", re.ASCII)
_MAX_NUMBER = 2**53
_PAGE, _MAX_PAGE = 50, 200


class Query:
    """
    The parameters of one request. Ask for each that the route knows, then `finish`.
    """

    def __init__(self, request: Request) -> None:
        self._given: dict[str, list[str]] = {}
        self._complaints: dict[str, str] = {}
        if not request.scope["query_string"]:
            return
        for name, value in request.query_params.multi_items():
            self._given.setdefault(name, []).append(value)

    def many(self, name: str, read: Callable[[str], ValueT]) -> list[ValueT]:
        """Every value of a repeatable parameter; *read* raises ValueError with what it must be."""
        values: list[ValueT] = []
        for text in self._given.pop(name, ()):
            try:
                values.append(read(text))
            except ValueError as error:
                self._complaints[name] = str(error)
        return values

    def one(self, name: str, read: Callable[[str], ValueT]) -> ValueT | None:
        """The value of a parameter that may come once, or None."""
        if len(self._given.get(name, ())) > 1:
            self._complaints[name] = "must be given once"
        values = self.many(name, read)
        return values[0] if values else None

    def finish(self, *, ignore_others: bool = False) -> None:
        """Raises Invalid when anything was wrong, or left over unless others are ignored."""
        if not ignore_others:
            self._complaints |= dict.fromkeys(self._given, "is not a known parameter")
        if self._complaints:
            named = "; ".join(f"{name} {words}" for name, words in self._complaints.items())
            raise Invalid(f"The query is not valid: {named}.", fields=self._complaints)


def read_text(text: str) -> str:
    """Any text but an empty one."""
    if not text:
        raise ValueError("must not be empty")
    return text


def read_number(least: int, most: int = _MAX_NUMBER) -> Callable[[str], int]:
    """A reader of whole numbers in a range."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 16):
            raise ValueError(f"must be a whole number from {least} to {most}")
        if not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def page_limit(query: Query) -> int:
    """How many rows a page of a listing has at most; 50 unless the client says otherwise."""
    return query.one("limit", read_number(1, _MAX_PAGE)) or _PAGE


def read_choice(choices: Iterable[str]) -> Callable[[str], str]:
    """A reader of one of a few words."""
    known = list(choices)

    def read(text: str) -> str:
        if text not in known:
            raise ValueError(f"must be one of: {', '.join(known)}")
        return text

    return read


def read_cursor(text: str) -> str:
    """The `next_cursor` of an earlier page."""
    if not _CURSOR.match(text):
        raise ValueError("must be the next_cursor of an earlier answer")
    return text


def read_entry_id(text: str) -> str:
    """The `next_cursor` of an earlier page of the audit log."""
    if not _ENTRY_ID.match(text):
        raise ValueError("must be the next_cursor of an earlier answer")
    return text


def read_tenant(text: str) -> str:
    """The name of a tenant."""
    if not is_tenant(text):
        raise ValueError("must be the name of a tenant: 1 to 32 of a-z, 0-9 and -")
    return text


def task_filter(query: Query, agents: Iterable[str]) -> TaskFilter:
    """The filter of a listing of tasks."""
    return TaskFilter(
        status=frozenset(map(State, query.many("status", read_choice(State)))),
        repo_url=query.one("repo_url", read_text),
        agent=query.one("agent", read_choice(agents)),
        label=query.one("label", _read_label),
        text=query.one("q", read_text),
        since=query.one("since", read_time),
    )


def _read_label(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon:
        raise ValueError("must be a label as key:value")
    return key, value


def read_time(text: str) -> datetime:
    """A time as RFC 3339 has it, as UTC."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # what "+" becomes in a query
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):  # as UTC it may lie outside the years 1 to 9999
        pass
    raise ValueError("must be a time as in RFC 3339, like 2030-01-31T12:00:00Z")
