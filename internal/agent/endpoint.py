"""Which host a URL is of, in one spelling, for those who tell model endpoints apart."""

from __future__ import annotations

from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_MOST_CHARACTERS = 200


def host_of(url: str) -> str | None:
    """The host of an http(s) URL in lower case, with its port unless it is the usual one."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    is_plain = host.isascii() and not any(letter.isspace() for letter in host)
    if not host or not is_plain or len(host) > _MOST_CHARACTERS or parts.scheme not in _PORTS:
        return None
    shown = f"[{host}]" if ":" in host else host.removesuffix(".")
    return shown if port in (None, _PORTS[parts.scheme]) else f"{shown}:{port}"
