"""Message authentication: HMAC-SHA256, and comparing without telling by the time it took."""

from __future__ import annotations

import hmac


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """32 bytes that only who has *key* can make for *message*."""
    return hmac.digest(key, message, "sha256")


def is_same(given: str | bytes, expected: str | bytes) -> bool:
    """Whether both are equal; the time taken tells at most their lengths."""
    return hmac.compare_digest(_bytes(given), _bytes(expected))


def _bytes(value: str | bytes) -> bytes:
    return value.encode(errors="surrogatepass") if isinstance(value, str) else value
