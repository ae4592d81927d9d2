"""How long an answer asks us to wait: the header `Retry-After`, in both of its forms."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_seconds(value: str, now: datetime | None) -> float | None:
    """
    The seconds that *value* asks for, None when it makes no sense.

    A date is measured against *now* (aware), and tells nothing without it.

    Source: RFC 9110, 10.2.3.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    moment = http_date(text)
    if moment is None or now is None:
        return None
    return max(0.0, (moment - now).total_seconds())


def http_date(text: str) -> datetime | None:
    """A date as HTTP writes it, aware; None when *text* is none."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
