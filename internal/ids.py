"""
Identifiers: sortable ids for objects, random tokens for claims.

Ids sort by creation time (48 bits of milliseconds, then 80 random bits, Crockford base 32, the ULID
layout), so newest-first listings need no second index. They hold no `.`, `/` or `:`, so they are
safe in Redis keys, file names, branch names and webhook ids.
"""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def sortable_id() -> str:
    """A new 26-character id; later ids compare greater (to the millisecond)."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))


def random_token() -> str:
    """128 random bits as 32 hex digits: a claim's fencing token, an operation id."""
    return secrets.token_hex(16)
