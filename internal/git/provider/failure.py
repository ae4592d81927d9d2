"""
What an answer that is no success means: whether to wait, and what the host said. Pure.

Hosts say the same in four languages. GitHub limits with 403 as well as 429, and its reset time is
a moment, measured here against the host's own `Date`, so that no difference of clocks counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import cast

from internal.egress.retryafter import http_date, retry_after_seconds
from internal.git.provider.base import ProviderError
from internal.redact import KNOWN, Redactor

_MAX_SAID_CHARS = 300
_MAX_WAIT_SECONDS = 3_600.0
_MAX_SENTENCES = 16
_MAX_DEPTH = 4
# Where each host puts its words, most general first.
_WORDS = ("message", "error", "error_description", "detail", "errors", "fields")
_REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining")
_RESET = ("x-ratelimit-reset", "ratelimit-reset")


def decode(body: bytes) -> object:
    """The JSON in *body*; None when there is none."""
    try:
        return cast("object", json.loads(body))
    except (ValueError, RecursionError):
        return None


def said(body: object, *, secrets: Iterable[str] = ()) -> str:
    """What the host said, in one short line without *secrets*; empty when it said nothing."""
    words = "; ".join(dict.fromkeys(islice(_words(body, _MAX_DEPTH), _MAX_SENTENCES)))
    line = " ".join("".join(char if char.isprintable() else " " for char in words).split())
    clean = Redactor(secrets).redact(KNOWN.redact(line))
    return clean if len(clean) <= _MAX_SAID_CHARS else clean[: _MAX_SAID_CHARS - 1] + "…"


def wait_seconds(headers: Mapping[str, str]) -> float | None:
    """How long the host asks us to wait, at most an hour; None when it does not say."""
    now = http_date(headers.get("date", ""))
    asked = retry_after_seconds(headers.get("retry-after", ""), now)
    if asked is None and now is not None:
        reset = _header(headers, _RESET)
        if reset.isascii() and reset.isdigit():
            asked = max(0.0, float(reset[:12]) - now.timestamp())
    return None if asked is None else min(asked, _MAX_WAIT_SECONDS)


def is_limited(status: int, headers: Mapping[str, str], words: str) -> bool:
    """Whether the host refuses for the number of requests, and not this one."""
    if status == 429:
        return True
    return status == 403 and (
        "retry-after" in headers
        or _header(headers, _REMAINING) == "0"
        or "rate limit" in words.lower()
    )


def failure(host: str, status: int, headers: Mapping[str, str], words: str) -> ProviderError:
    """The error of an answer that is no success; *words* are what `said` made of it."""
    told = f": {words}" if words else ""
    if is_limited(status, headers, words):
        return ProviderError(
            f"{host} limits the rate of requests{told}",
            status=status,
            retryable=True,
            retry_after_seconds=wait_seconds(headers),
        )
    if status == 401:
        return ProviderError(f"{host} wants a valid token{told}", status=status)
    if status >= 500 or status in {408, 425}:
        return ProviderError(
            f"{host} failed with {status}{told}",
            status=status,
            retryable=True,
            retry_after_seconds=wait_seconds(headers),
        )
    if 300 <= status < 400:
        return ProviderError(f"{host} redirects to another place ({status})", status=status)
    return ProviderError(f"{host} refused with {status}{told}", status=status)


def _header(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((headers[name].strip() for name in names if name in headers), "")


def _words(body: object, depth: int) -> Iterator[str]:
    if isinstance(body, str):
        yield body[: 2 * _MAX_SAID_CHARS]
    elif isinstance(body, list) and depth:
        for item in cast("list[object]", body)[:8]:
            yield from _words(item, depth - 1)
    elif isinstance(body, dict) and depth:
        yield from _of_object(cast("dict[str, object]", body), depth)


def _of_object(body: dict[str, object], depth: int) -> Iterator[str]:
    known = [body[name] for name in _WORDS if name in body]
    for value in known:
        yield from _words(value, depth - 1)
    if known:
        return
    if isinstance(body.get("field"), str) and isinstance(body.get("code"), str):
        yield f"{body['field']} {body['code']}"  # GitHub's form for what has no sentence
        return
    for name, value in list(body.items())[:8]:  # GitLab: field to its faults
        for text in _words(value, depth - 1):
            yield f"{name} {text}"
