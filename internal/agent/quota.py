"""
When a provider's quota opens again, read from what a CLI says to its user. Pure.

Every provider words it differently, and the same one differently each year, so the words around a
time do not matter here: a driver decides that a message is about a quota, and asks for the time in
it. Three forms cover what is known: seconds since 1970 behind a bar, a time of day with or without
a date and a zone, and a span ("in 2 hours 5 minutes"). What cannot be understood is None, never a
guess.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

_EPOCH = re.compile(r"\|\s*(\d{10})(?:\d{3})?\b")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = re.compile(
    r"\b(?:resets?|again)(?:\s+(?:at|on))?\s+"
    rf"(?:(?P<month>{'|'.join(_MONTHS)})[a-z]*\.?\s+(?P<day>\d{{1,2}})(?:st|[nr]d|th)?"
    r"(?:,?\s+at|,)?\s+)?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?\s*(?P<half>[ap]m)?"
    r"(?:\s*\((?P<zone>[^()]{1,64})\))?",
    re.I,
)
_SPAN = re.compile(
    r"\b(?:resets?|again)\s+in\s+(?P<span>(?:\d+(?:\.\d+)?\s*[a-z]+(?:,\s*|\s+and\s+|\s*))+)", re.I
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([dhms])[a-z]*", re.I)
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_JUST_NOW = timedelta(minutes=5)
"""A time of day so little ago is meant: clocks differ, and a message takes its time."""
_LONGEST = timedelta(days=31)
"""No quota is for longer; beyond it, somebody prints nonsense."""


def reset_of(text: str, now: datetime) -> datetime | None:
    """
    The time in *text* at which a quota opens, UTC; None when it tells none, or none that can be.

    *now* is aware; a time without a zone is taken as UTC.
    """
    found = _of_epoch(text) or _of_time(text, now) or _of_span(text, now)
    if found is None or not now - _LONGEST < found < now + _LONGEST:
        return None
    return max(found, now)


def of_epoch(seconds: float, now: datetime) -> datetime | None:
    """The same for a number that a CLI gives by itself: seconds since 1970."""
    return reset_of(f"|{int(seconds)}", now) if seconds > 0 else None


def _of_epoch(text: str) -> datetime | None:
    found = _EPOCH.search(text)
    return datetime.fromtimestamp(int(found[1]), UTC) if found else None


def _of_time(text: str, now: datetime) -> datetime | None:
    for found in _TIME.finditer(text):
        if found["half"] or found["minute"]:  # a bare number is no time of day
            return _next(found, now)
    return None


def _next(found: re.Match[str], now: datetime) -> datetime | None:
    """The next moment that looks like this at its place."""
    zone = _zone(found["zone"])
    if zone is None:
        return None
    here = now.astimezone(zone)
    try:
        moment = here.replace(
            hour=_hour(int(found["hour"]), found["half"]),
            minute=int(found["minute"] or 0),
            second=0,
            microsecond=0,
        )
        if found["month"]:
            month = _MONTHS.index(found["month"].lower()) + 1
            moment = moment.replace(month=month, day=int(found["day"]))
            if moment < here - _LONGEST:
                moment = moment.replace(year=moment.year + 1)
        elif moment < here - _JUST_NOW:
            moment += timedelta(days=1)
    except ValueError:  # 25:61, or the 31st of a short month
        return None
    return moment.astimezone(UTC)


def _hour(hour: int, half: str | None) -> int:
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(hour)
    return hour % 12 + (12 if half.lower() == "pm" else 0)


def _zone(name: str | None) -> tzinfo | None:
    if name is None or name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no name at all, or a directory of names
        return None


def _of_span(text: str, now: datetime) -> datetime | None:
    found = _SPAN.search(text)
    parts = _PART.findall(found["span"]) if found else []
    seconds = sum(float(number) * _UNITS[unit.lower()] for number, unit in parts)
    return now + timedelta(seconds=min(seconds, _LONGEST.total_seconds())) if seconds else None
